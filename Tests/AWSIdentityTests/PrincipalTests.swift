// Whose credentials these are: what ARNs say, when two are one, and what is written down of it.

import Testing

@testable import AWSIdentity

@Suite("A principal")
struct PrincipalTests {
    @Test(
        "An ARN tells account and name; a role's path and its session do not count",
        arguments: [
            ("arn:aws:iam::123456789012:user/deploy", "account=123456789012;name=user/deploy"),
            ("arn:aws:iam::123456789012:user/division/deploy", "account=123456789012;name=user/deploy"),
            ("arn:aws-cn:iam::123456789012:role/path/app", "account=123456789012;name=role/app"),
            ("arn:aws-us-gov:sts::123456789012:assumed-role/app/i-0abc", "account=123456789012;name=role/app"),
            ("arn:aws:iam::123456789012:root", "account=123456789012;name=root"),
        ])
    func arn(text: String, record: String) throws {
        #expect(try #require(Principal(arn: text)).record == record)
    }

    @Test(
        "What is no principal's ARN is none",
        arguments: [
            "", "arn", "arn:aws:iam::123456789012:", "arn:aws:iam::12345678901:user/a", "arn:aws:s3:::bucket",
            "arn:aws:iam::123456789012:user/", "arn:aws:sts::123456789012:assumed-role/app",
            "arn:aws:sts::123456789012:federated-user/x", "arn:azure:iam::123456789012:user/a",
            "arn:aws:iam::12345678901x:user/a",
        ])
    func noArn(text: String) {
        #expect(Principal(arn: text) == nil)
    }

    @Test("Another account or name is another principal; another key alone decides nothing")
    func sameness() {
        let app = Principal(account: "111111111111", name: .role("app"))
        #expect(app.sameness(as: Principal(name: .role("App"))) == .same)
        #expect(app.sameness(as: Principal(account: "222222222222", name: .role("app"))) == .different)
        #expect(app.sameness(as: Principal(name: .role("node"))) == .different)
        #expect(app.sameness(as: Principal(name: .user("app"))) == .different)
        #expect(app.sameness(as: Principal(account: "111111111111")) == .undecided)
        let key = Principal(accessKeyID: "AKIA1")
        #expect(key.sameness(as: Principal(accessKeyID: "AKIA1")) == .same)
        #expect(key.sameness(as: Principal(accessKeyID: "AKIA2")) == .undecided)
        #expect(key.sameness(as: app) == .undecided)
        // The same key with what Vault said of it is still the same.
        let known = Principal(account: "111111111111", name: .user("a"), accessKeyID: "AKIA1")
        #expect(known.sameness(as: key) == .same)
        #expect(key.completed(by: known) == known)
        #expect(Principal().sameness(as: Principal()) == .undecided)
    }

    @Test("What is written down is read again, and nothing else is")
    func record() {
        let principals = [
            Principal(), Principal(account: "123456789012"), Principal(name: .role("a+=,.@-_b")),
            Principal(name: .root),
            Principal(account: "123456789012", name: .user("u"), accessKeyID: "AKIAEXAMPLE"),
        ]
        for principal in principals { #expect(Principal(record: principal.record) == principal) }
        for broken in [
            "", " ", "account=1", "name=", "name=group/x", "name=user/", "key=a;key=b",
            "account=123456789012;;name=root",
            "name=role/a b", "other=1", String(repeating: "x", count: 400), "key=ä",
        ] {
            #expect(Principal(record: broken) == nil, "\(broken)")
        }
    }

    @Test("People read role, user or key, and the account where it is known")
    func words() {
        #expect(
            Principal(account: "123456789012", name: .role("app")).description == "role app of account 123456789012")
        #expect(Principal(accessKeyID: "AKIA1").description == "access key AKIA1")
        #expect(Principal().description == "an unnamed principal")
    }
}
