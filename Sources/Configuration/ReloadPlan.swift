// Configuration: what a new configuration changes: token by token, before anything is done.

private import AWSIdentity
private import Crypto
package import ServiceHealth
package import Timekeeping
private import VaultAPI

/// The parts of one token's configuration, each as a digest: enough to tell what differs, and no more.
package struct TokenFingerprint: Hashable, Sendable {
    package let name: String
    /// By the names of ``ReloadPlan/Change``: 16 hexadecimal digits each.
    package let parts: [String: String]

    /// Where one of these differs, the login is another.
    package static let partsOfLogin = ["vault", "auth", "aws"]

    package init(name: String, parts: [String: String]) {
        self.name = name
        self.parts = parts
    }

    package init(_ settings: TokenSettings) {
        name = settings.name
        let vault = settings.vault
        parts = [
            "vault": "\(vault.addresses) \(vault.namespace)", "auth": "\(settings.login)",
            "aws": "\(settings.aws) \(settings.audience)", "identity": "\(settings.identity)",
            "connection": "\(vault.tls) \(vault.connectTimeout) \(vault.requestTimeout)",
            "renewal": "\(settings.policy)", "sinks": "\(settings.sinks)", "on_change": "\(settings.onChange as Any)",
        ].mapValues { text in String(SHA256.digest(of: text).hexadecimal.prefix(16)) }
    }
}

/// The settings that make a login this one and no other: those of ``TokenFingerprint/partsOfLogin``.
package struct LoginIdentity: Hashable, Sendable {
    private let addresses: [String]
    private let namespace: String
    private let login: LoginSettings
    private let aws: AWSSettings
    private let audience: LoginAudience

    package init(_ settings: TokenSettings) {
        addresses = settings.vault.addresses
        namespace = settings.vault.namespace
        login = settings.login
        aws = settings.aws
        audience = settings.audience
    }
}

/// The difference between the configuration in force and another one.
package struct ReloadPlan: Hashable, Sendable {
    package enum Change: Hashable, Sendable {
        case keep
        /// The token stays as it is; what is named here becomes another: `sinks`, `renewal`, `on_change`, `connection`,
        /// `identity`.
        case change([String])
        /// Server or login are others: the token stays in its sinks until a new one is there.
        case logInAnew([String])
        case add
        case drop
    }

    package struct Entry: Hashable, Sendable {
        package let token: String
        package let change: Change
    }

    /// In the new configuration's order, those that are dropped last.
    package let entries: [Entry]

    package init(from old: [TokenFingerprint], to new: [TokenFingerprint]) {
        let names = Set(new.map(\.name))
        entries =
            new.map { token in
                let before = old.first { $0.name == token.name }
                return Entry(token: token.name, change: before.map { Self.change(from: $0, to: token) } ?? .add)
            } + old.filter { !names.contains($0.name) }.map { Entry(token: $0.name, change: .drop) }
    }

    private static func change(from old: TokenFingerprint, to new: TokenFingerprint) -> Change {
        let login = TokenFingerprint.partsOfLogin.filter { old.parts[$0] != new.parts[$0] }
        let other = ["connection", "identity", "renewal", "sinks", "on_change"].filter {
            old.parts[$0] != new.parts[$0]
        }
        if !login.isEmpty { return .logInAnew(login + other) }
        return other.isEmpty ? .keep : .change(other)
    }

    /// The plan as it was carried out by the reload that began `at`.
    package func report(number: Int, at moment: WallTime) -> ReloadReport {
        ReloadReport(
            number: number, at: moment, tokens: entries.map { .init(token: $0.token, change: $0.change.words) })
    }
}

extension ReloadPlan.Change {
    /// `kept`, `changed: sinks, renewal`, `logs in anew: auth`, `added`, `dropped`.
    package var words: String {
        switch self {
        case .keep: "kept"
        case .change(let what): "changed: \(what.joined(separator: ", "))"
        case .logInAnew(let what): "logs in anew: \(what.joined(separator: ", "))"
        case .add: "added"
        case .drop: "dropped"
        }
    }
}
