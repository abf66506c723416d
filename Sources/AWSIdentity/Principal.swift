// AWSIdentity: whose credentials these are, as far as is known without asking AWS. A token is bound to its principal.

internal import Diagnosis

/// An IAM user or role. Each part is nil where nobody has told it: a source of plain keys knows the key's id alone, an instance
/// knows its role's name, Vault and STS know account and name.
package struct Principal: Hashable, Sendable {
    package enum Name: Hashable, Sendable {
        case user(String)
        case role(String)
        /// The account itself.
        case root
    }

    /// Twelve digits.
    package var account: String?
    /// Without its path: names are unique in an account without it.
    package var name: Name?
    /// Not a secret. Rotated keys have another, so it shows sameness only; nil where the name is known from the beginning.
    package var accessKeyID: String?

    package init(account: String? = nil, name: Name? = nil, accessKeyID: String? = nil) {
        self.account = account
        self.name = name
        self.accessKeyID = accessKeyID
    }

    /// Of that account, and nothing else known; nil where it is not twelve digits.
    init?(accountID: String) {
        guard Self.isAccount(accountID[...]) else { return nil }
        self.init(account: accountID)
    }

    /// Of an IAM user's, role's or assumed role's ARN; nil for anything else. The session's name does not count.
    package init?(arn: String) {
        let parts = arn.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
        guard arn.utf8.count <= 2_048, parts.count == 6, parts[0] == "arn", parts[1].hasPrefix("aws"),
            ["iam", "sts"].contains(parts[2]), Self.isAccount(parts[4])
        else { return nil }
        let path = parts[5].split(separator: "/", omittingEmptySubsequences: false)
        account = String(parts[4])
        switch (parts[2], path[0]) {
        case ("iam", "root") where path.count == 1: name = .root
        case ("iam", "user") where path.count > 1 && !path[path.count - 1].isEmpty:
            name = .user(String(path[path.count - 1]))
        case ("iam", "role") where path.count > 1 && !path[path.count - 1].isEmpty:
            name = .role(String(path[path.count - 1]))
        case ("sts", "assumed-role") where path.count == 3 && !path[1].isEmpty: name = .role(String(path[1]))
        default: return nil
        }
    }

    private static func isAccount(_ text: Substring) -> Bool {
        text.utf8.count == 12 && text.utf8.allSatisfy { 0x30...0x39 ~= $0 }
    }
}

// MARK: Sameness

extension Principal {
    package enum Sameness: Hashable, Sendable {
        case same
        case different
        /// What is known of both does not decide it: keys of one user that were rotated, or another user's.
        case undecided
    }

    package func sameness(as other: Principal) -> Sameness {
        if let account, let theirs = other.account, account != theirs { return .different }
        if let name, let theirs = other.name { return name.isSame(as: theirs) ? .same : .different }
        if let accessKeyID, accessKeyID == other.accessKeyID { return .same }
        return .undecided
    }

    /// With what `other` knows of the same principal put into the gaps.
    package func completed(by other: Principal) -> Principal {
        Principal(
            account: account ?? other.account, name: name ?? other.name, accessKeyID: accessKeyID ?? other.accessKeyID)
    }
}

extension Principal.Name {
    /// IAM's names are unique without regard to capitals.
    fileprivate func isSame(as other: Self) -> Bool {
        switch (self, other) {
        case (.user(let ours), .user(let theirs)), (.role(let ours), .role(let theirs)):
            ours.lowercased() == theirs.lowercased()
        case (.root, .root): true
        case (.user, _), (.role, _), (.root, _): false
        }
    }

    /// As ARNs have it: `role/app`.
    var text: String {
        switch self {
        case .user(let name): "user/\(name)"
        case .role(let name): "role/\(name)"
        case .root: "root"
        }
    }
}

// MARK: Text

extension Principal: CustomStringConvertible {
    /// For people: "role app of account 123456789012".
    package var description: String {
        let what =
            switch name {
            case .user(let name): "user \(printable(name))"
            case .role(let name): "role \(printable(name))"
            case .root: "the root user"
            case nil: accessKeyID.map { "access key \(printable($0))" } ?? "an unnamed principal"
            }
        return account.map { "\(what) of account \($0)" } ?? what
    }

    /// Longest ``record``: a name has at most 128 characters, a key id as many.
    package static let longestRecord = 320

    /// One word without blanks, which ``init(record:)`` reads again; "-" where nothing is known.
    package var record: String {
        let parts = [
            account.map { "account=\($0)" }, name.map { "name=\($0.text)" }, accessKeyID.map { "key=\($0)" },
        ].compactMap { $0 }
        return parts.isEmpty ? "-" : parts.joined(separator: ";")
    }

    /// Nil for anything that ``record`` does not write.
    package init?(record: String) {
        guard record.utf8.count <= Self.longestRecord, !record.isEmpty else { return nil }
        self.init()
        if record == "-" { return }
        for part in record.split(separator: ";", omittingEmptySubsequences: false) {
            let key = part.prefix { $0 != "=" }
            let value = part.dropFirst(key.count + 1)
            guard !value.isEmpty, value.utf8.allSatisfy({ 0x21...0x7E ~= $0 && $0 != UInt8(ascii: ";") }) else {
                return nil
            }
            switch key {
            case "account" where account == nil && Self.isAccount(value): account = String(value)
            case "name" where name == nil:
                if value == "root" {
                    name = .root
                } else if value.hasPrefix("user/"), value.utf8.count > 5 {
                    name = .user(String(value.dropFirst(5)))
                } else if value.hasPrefix("role/"), value.utf8.count > 5 {
                    name = .role(String(value.dropFirst(5)))
                } else {
                    return nil
                }
            case "key" where accessKeyID == nil: accessKeyID = String(value)
            default: return nil
            }
        }
    }
}
