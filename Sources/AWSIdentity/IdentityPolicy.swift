// AWSIdentity: which identity a token may be logged in by, and what happens to it when the machine has become another.

internal import Diagnosis

/// What the configuration says of identities.
package struct IdentityPolicy: Hashable, Sendable {
    /// What becomes of a token when the machine's credentials are another principal's.
    package enum Change: String, CaseIterable, Hashable, Sendable {
        /// The agent logs in anew: the token is the old principal's.
        case login
        /// It lives out its life.
        case keep
    }

    package var onChange = Change.login
    /// Any other identity is refused before the login. Empty: any may log in.
    package var expected: [IdentityPattern] = []
    /// Log in anew whenever the credentials are others, the same principal's too, as Vault Agent can.
    package var reauthenticatesOnNewCredentials = false

    package init() {}
}

/// An account, or the ARN of a user or role in which `*` and `?` stand for any characters and any one.
package struct IdentityPattern: Hashable, Sendable, CustomStringConvertible {
    package let description: String
    private let account: String
    /// `role/app`, without path and session; nil: whoever it is.
    private let name: String?

    /// Nil for what is neither: twelve digits, `arn:aws:iam::ACCOUNT:role/NAME`, `…:user/NAME`, `…:root`, or
    /// `arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION`, whose session does not count.
    package init?(_ text: String) {
        description = text
        if Principal(accountID: text) != nil {
            (account, name) = (text, nil)
            return
        }
        let parts = text.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
        guard text.utf8.count <= 2_048, text.utf8.allSatisfy({ 0x21...0x7E ~= $0 }), parts.count == 6,
            parts[0] == "arn",
            parts[1].hasPrefix("aws") || parts[1] == "*", ["iam", "sts", "*"].contains(parts[2]), parts[3].isEmpty,
            !parts[4].isEmpty, parts[4].allSatisfy({ $0.isNumber || $0 == "*" || $0 == "?" })
        else { return nil }
        account = String(parts[4])
        let path = parts[5].split(separator: "/", omittingEmptySubsequences: false)
        switch path[0] {
        case "*" where path.count == 1: name = nil
        case "root" where path.count == 1: name = "root"
        case "role" where path.count > 1, "user" where path.count > 1:
            guard let last = path.last, !last.isEmpty else { return nil }
            name = "\(path[0])/\(last)"
        case "assumed-role" where path.count > 1 && !path[1].isEmpty: name = "role/\(path[1])"
        default: return nil
        }
    }

    /// Nil: what is known of the principal does not decide it.
    func fits(_ principal: Principal) -> Bool? {
        if account != "*" {
            guard let theirs = principal.account else { return nil }
            if !Self.matches(theirs, account) { return false }
        }
        guard let name else { return true }
        return principal.name.map { Self.matches($0.text.lowercased(), name.lowercased()) }
    }

    /// Glob matching in time that grows with the product of the lengths, at most.
    static func matches(_ text: String, _ pattern: String) -> Bool {
        let (text, pattern) = (Array(text.utf8), Array(pattern.utf8))
        var (at, place) = (0, 0)
        var star: (place: Int, at: Int)?
        while at < text.count {
            if place < pattern.count, pattern[place] == UInt8(ascii: "*") {
                star = (place, at)
                place += 1
            } else if place < pattern.count, pattern[place] == text[at] || pattern[place] == UInt8(ascii: "?") {
                at += 1
                place += 1
            } else if let last = star {
                star = (last.place, last.at + 1)
                (place, at) = (last.place + 1, last.at + 1)
            } else {
                return false
            }
        }
        return pattern[place...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}

extension IdentityPolicy {
    /// Nil: none of the patterns can say without knowing more.
    func allows(_ principal: Principal) -> Bool? {
        if expected.isEmpty { return true }
        let verdicts = expected.map { $0.fits(principal) }
        if verdicts.contains(true) { return true }
        return verdicts.contains(nil) ? nil : false
    }

    /// Refuses an identity that was not expected, with what was found and where.
    func refusal(of principal: Principal, from origin: String) -> AgentError {
        AgentError(
            .awsIdentityUnexpected,
            "the AWS credentials are those of \(principal), from \(origin), and auth.expect wants "
                + expected.map { printable($0.description) }.joined(separator: " or "),
            remedy:
                "`vault-token-agent credentials` shows every source: does a pod use its node's role because its own is "
                + "not mounted? Else correct auth.expect")
    }
}
