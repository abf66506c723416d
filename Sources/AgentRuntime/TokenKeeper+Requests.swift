// AgentRuntime: asks Vault what the core wants asked, and takes down the secrets that come back.

import Crypto
import Diagnosis
import Logging
import ServiceHealth
import Timekeeping
import TokenLifecycle
import TokenSinks
import VaultAPI

/// One line of tokens, as the outside knows it.
final class KeptLine {
    let id: LineID
    /// In health and logs: `app`, or `app/1` for a child of it.
    let name: String
    /// Nil: those of the login.
    let policies: [String]?
    let journal: KeeperJournal

    init(id: LineID, name: String, policies: [String]?, journal: KeeperJournal) {
        self.id = id
        self.name = name
        self.policies = policies
        self.journal = journal
    }
}

extension TokenKeeper {
    func answer(to request: LifecycleRequest, limit: Duration) async -> LifecycleAnswer {
        let journal = line(of: request)?.journal
        do {
            let answer = try await ask(request, within: limit)
            if case .refusedOnce = answer { return answer }
            if case .revoke(let id) = request { revocationFailures?[id] = nil }
            journal?.succeeded(request, answer, token: token(in: answer))
            return answer
        } catch {
            journal?.failed(request, error)
            // One that is dead is as good as revoked.
            if case .revoke(let id) = request { revocationFailures?[id] = error.code == .tokenDead ? nil : error }
            return .failed(error)
        }
    }

    private func line(of request: LifecycleRequest) -> KeptLine? {
        let id: LineID =
            switch request {
            case .createChild(let line, _): line
            case .logIn, .revoke, .wrap: .login
            case .renew(let token, _), .lookUp(let token): lifecycle.line(of: token) ?? .login
            }
        return inForce?.lines.first { $0.id == id }
    }

    private func ask(_ request: LifecycleRequest, within limit: Duration) async throws(AgentError) -> LifecycleAnswer {
        switch request {
        case .logIn(let withNewCredentials):
            guard let login = inForce?.login else { throw Self.gone("the login") }
            guard let grant = try await login.origin.obtain(withNewCredentials: withNewCredentials, within: limit)
            else {
                return .refusedOnce
            }
            return .granted(take(grant, login, origin: login.digest))
        case .createChild(let line, let parent):
            let token = try token(parent)
            guard let policies = inForce?.lines.first(where: { $0.id == line })?.policies else {
                throw Self.gone("the child's policies")
            }
            let grant = try await observing(.createChild) { () throws(AgentError) in
                try await token.login.vault.createChild(
                    of: token.token, policies: policies, ttl: token.leaseDuration, within: limit)
            }
            return .granted(take(grant, token.login, origin: token.login.digest(ofChild: policies)))
        case .renew(let id, let increment):
            let token = try token(id)
            let renewal = try await observing(.renew) { () throws(AgentError) in
                try await token.login.vault.renewSelf(token.token, increment: increment, within: limit)
            }
            held[id]?.renewed(by: renewal)
            return .renewed(
                duration: renewal.leaseDuration, renewable: renewal.renewable, sentAt: renewal.sentAt)
        case .lookUp(let id): return .alive(try await lookUp(id, within: limit))
        case .wrap(let id, let sink): return try await wrap(id, for: sink, within: limit)
        case .revoke(let id):
            let token = try token(id)
            try await observing(.revoke) { () throws(AgentError) in
                try await token.login.vault.revokeSelf(token.token, within: limit)
            }
            return .revoked
        }
    }

    private func take(_ grant: TokenGrant, _ login: LoginPoint, origin: [UInt8]) -> Grant {
        Grant(
            id: keep(HeldToken(grant, login: login, origin: origin)), sentAt: grant.sentAt,
            duration: grant.leaseDuration, renewable: grant.renewable, limitedUses: grant.numUses > 0)
    }

    private func lookUp(_ id: TokenID, within limit: Duration) async throws(AgentError) -> Grant {
        let token = try token(id)
        let facts = try await observing(.lookUp) { () throws(AgentError) in
            try await token.login.vault.lookUpSelf(token.token, within: limit)
        }
        let principal = HeldToken.principal(in: facts.metadata)
        guard principal.isEmpty || token.principal.isEmpty || principal == token.principal else {
            throw AgentError(
                .tokenDead, "the token in the sink belongs to \(principal), not to \(token.principal)",
                remedy: "The agent logs in anew; see who else writes to the sink or to the state directory")
        }
        held[id]?.learn(from: facts)
        return Grant(
            id: id, sentAt: facts.sentAt, duration: facts.ttl, fullLease: facts.period ?? facts.creationTTL,
            renewable: facts.renewable, limitedUses: facts.numUses != 0)
    }

    private func wrap(
        _ id: TokenID, for sink: SinkID, within limit: Duration
    ) async throws(AgentError) -> LifecycleAnswer {
        let token = try token(id)
        guard let ttl = self.sink(sink)?.settings.wrapTTL else { throw Self.gone("the sink") }
        let made = try await observing(.wrap) { () throws(AgentError) in
            try await token.login.vault.wrap(token.token, ttl: ttl, within: limit)
        }
        let wrapping = TokenID(number: nextNumber())
        wrappings[wrapping] = TokenSinks.WrappedToken(
            token: made.token, accessor: made.accessor, timeToLive: made.ttl,
            createdAt: WallTime(rfc3339: made.creationTime) ?? timekeeper.wallTime, creationPath: made.creationPath,
            wrappedAccessor: made.wrappedAccessor)
        return .wrapped(wrapping, duration: made.ttl, sentAt: made.sentAt)
    }

    private func observing<Answer>(
        _ operation: Metrics.Operation, _ body: () async throws(AgentError) -> Answer
    ) async throws(AgentError) -> Answer {
        try await surroundings.metrics.observing(operation, by: timekeeper, body)
    }

    private func token(in answer: LifecycleAnswer) -> HeldToken? {
        switch answer {
        case .granted(let facts), .alive(let facts): held[facts.id]
        case .renewed, .wrapped, .revoked, .refusedOnce, .failed: nil
        }
    }

    private func token(_ id: TokenID) throws(AgentError) -> HeldToken {
        guard let known = held[id] else { throw Self.gone("token \(id)") }
        return known
    }

    private static func gone(_ what: String) -> AgentError {
        AgentError(.internalFault, "\(what) is needed and was let go", remedy: "Report this as a fault")
    }
}
