// TokenLifecycle: how long readers would go on to find a valid token if Vault, or AWS, went away now.

import Timekeeping

/// What the readers of one line of tokens live on while one of the other sides is away. It counts on what the agent can do
/// without that side, and on sinks that stay as they are.
package struct OutageBudget<Moment: Hashable & Sendable>: Hashable, Sendable {
    /// Vault is away: what is held now is all that there will be. Nil: it does not expire.
    package let withoutVault: Moment?
    /// AWS is away, for this machine and for Vault: no login, but children and wrapping tokens as before. Nil: no end.
    package let withoutAWS: Moment?
    /// Renewals lead past ``withoutAWS``, to a maximum that Vault has not told yet.
    package let isRenewedWithoutAWS: Bool

    package init(withoutVault: Moment?, withoutAWS: Moment?, isRenewedWithoutAWS: Bool) {
        self.withoutVault = withoutVault
        self.withoutAWS = withoutAWS
        self.isRenewedWithoutAWS = isRenewedWithoutAWS
    }

    /// The same on another clock.
    package func map<Other>(_ convert: (Moment) -> Other) -> OutageBudget<Other> {
        OutageBudget<Other>(
            withoutVault: withoutVault.map(convert), withoutAWS: withoutAWS.map(convert),
            isRenewedWithoutAWS: isRenewedWithoutAWS)
    }
}

extension TokenLifecycle {
    /// Nil: readers of a sink have no valid token as it is.
    func outageBudget(of line: TokenLine, _ sinks: [Sink], at now: Instant) -> OutageBudget<Instant>? {
        // What Vault calls dead is of no use, whatever lease it had.
        guard stage == .running, let token = line.current, !token.isDead else { return nil }
        guard let login = lines[0].current, !login.isDead else { return nil }
        let vault = sinks.map { end(of: $0, token, at: now) }.min() ?? validity(of: token.id)
        guard vault > now else { return nil }
        // A sink in trouble ends with what stands there; all else is made anew for as long as the token of the login lives.
        let troubled = sinks.filter { $0.trouble(at: now) != nil }.map { end(of: $0, token, at: now) }.min()
        let aws = min(validity(of: login.id), troubled ?? .distantFuture)
        return OutageBudget(
            withoutVault: vault.ifEver, withoutAWS: aws.ifEver,
            isRenewedWithoutAWS: aws.ifEver != nil && troubled == nil && login.lease.canBeRenewed && !renewalAsksAWS)
    }

    /// When readers of the sink lose what they have or are about to have; the distant past: they have nothing.
    private func end(of sink: Sink, _ token: Holding, at now: Instant) -> Instant {
        let found = isServed(sink, at: now) ? foundEnd(of: sink) : .distantPast
        guard sink.trouble(at: now) == nil else { return found }
        guard let wrapping = sink.wrapping else { return max(found, validity(of: token.id)) }
        guard let newest = wrapping.newest, newest.token == token.id else { return found }
        return max(found, min(newest.expiry, validity(of: token.id)))
    }

    private func foundEnd(of sink: Sink) -> Instant {
        guard let found = sink.found else { return .distantPast }
        return min(validity(of: found.content.token), sink.wrapping?.foundExpiry ?? .distantFuture)
    }
}

extension Instant {
    fileprivate var ifEver: Instant? { self == .distantFuture ? nil : self }
}
