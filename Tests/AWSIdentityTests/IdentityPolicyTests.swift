// Which identity may log in: accounts, ARNs and patterns, and what is known too little to say.

import Testing

@testable import AWSIdentity

@Suite("An expected identity")
struct IdentityPolicyTests {
    private static let app = Principal(account: "123456789012", name: .role("app-blue"))

    @Test(
        "Fits by account, ARN and pattern; a path and a session do not count",
        arguments: [
            ("123456789012", true), ("210987654321", false), ("arn:aws:iam::123456789012:role/app-blue", true),
            ("arn:aws:iam::123456789012:role/path/APP-blue", true), ("arn:aws:iam::*:role/app-*", true),
            ("arn:aws:sts::123456789012:assumed-role/app-blue/i-0", true),
            ("arn:aws:iam::123456789012:role/app", false),
            ("arn:aws:iam::123456789012:user/app-blue", false), ("arn:*:iam::12345678901?:role/*-blue", true),
            ("arn:aws:iam::123456789012:*", true), ("arn:aws:iam::123456789012:root", false),
            ("arn:aws:iam::123456789012:role/app-?", false),
        ])
    func fits(text: String, expected: Bool) throws {
        #expect(try #require(IdentityPattern(text)).fits(Self.app) == expected)
    }

    @Test("What is known too little is not decided; an account that differs decides alone")
    func undecided() throws {
        let role = try #require(IdentityPattern("arn:aws:iam::123456789012:role/app"))
        #expect(role.fits(Principal(name: .role("app"))) == nil)
        #expect(role.fits(Principal(account: "123456789012")) == nil)
        #expect(role.fits(Principal(account: "999999999999")) == false)
        #expect(role.fits(Principal(accessKeyID: "AKIA")) == nil)
        var policy = IdentityPolicy()
        #expect(policy.allows(Principal()) == true)
        policy.expected = [role, try #require(IdentityPattern("arn:aws:iam::*:role/node"))]
        #expect(policy.allows(Principal(name: .role("node"))) == true)
        #expect(policy.allows(Principal(account: "999999999999", name: .role("app"))) == false)
        #expect(policy.allows(Principal(name: .role("app"))) == nil)
    }

    @Test(
        "What is neither account nor ARN is none",
        arguments: [
            "", "app", "12345678901", "role/app", "arn:aws:iam::123456789012:group/x", "arn:aws:s3:::bucket",
            "arn:aws:iam:us-east-1:123456789012:role/x", "arn:aws:iam::123456789012:role/", "arn:aws:iam::12a:role/x",
            "arn:aws:iam::123456789012:role/ä", "arn:aws:iam::123456789012",
        ])
    func malformed(text: String) {
        #expect(IdentityPattern(text) == nil)
    }

    @Test("A pattern made to be slow is not")
    func hostile() {
        let text = String(repeating: "a", count: 128)
        let pattern = String(repeating: "a*", count: 1_000) + "b"
        #expect(!IdentityPattern.matches(text, pattern))
        #expect(IdentityPattern.matches(text, "*a*a*"))
        #expect(IdentityPattern.matches("", "*"))
        #expect(!IdentityPattern.matches("", "?"))
    }
}
