// Configuration: what a new configuration changes: token by token, before anything is done.

package import ServiceHealth
package import Timekeeping
import VaultAPI

/// The difference between the configuration in force and another one.
package struct ReloadPlan: Hashable, Sendable {
    package enum Change: Hashable, Sendable {
        case keep
        /// The token stays as it is; what is named here becomes another: `sinks`, `renewal`, `on_change`, `connection`.
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

    package init(from old: [TokenSettings], to new: [TokenSettings]) {
        let names = Set(new.map(\.name))
        entries =
            new.map { settings in
                let before = old.first { $0.name == settings.name }
                return Entry(token: settings.name, change: before.map { Self.change(from: $0, to: settings) } ?? .add)
            } + old.filter { !names.contains($0.name) }.map { Entry(token: $0.name, change: .drop) }
    }

    private static func change(from old: TokenSettings, to new: TokenSettings) -> Change {
        var login: [String] = []
        if old.vault.addresses != new.vault.addresses || old.vault.namespace != new.vault.namespace {
            login.append("vault")
        }
        if old.login != new.login { login.append("auth") }
        if old.aws != new.aws { login.append("aws") }
        var other: [String] = []
        if old.vault.tls != new.vault.tls || old.vault.connectTimeout != new.vault.connectTimeout
            || old.vault.requestTimeout != new.vault.requestTimeout
        {
            other.append("connection")
        }
        if old.policy != new.policy { other.append("renewal") }
        if old.sinks != new.sinks { other.append("sinks") }
        if old.onChange != new.onChange { other.append("on_change") }
        if !login.isEmpty { return .logInAnew(login + other) }
        return other.isEmpty ? .keep : .change(other)
    }

    /// The plan as it was carried out.
    package func report(number: Int, at now: WallTime) -> ReloadReport {
        ReloadReport(number: number, at: now, tokens: entries.map { .init(token: $0.token, change: $0.change.words) })
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
