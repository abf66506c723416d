// SimulatedWorld: the promises, checked from outside on what readers find and on what the agent says. The numbers are the
// oracle's own.

import Diagnosis
import ServiceHealth
import Timekeeping
import TokenLifecycle

extension World {
    /// A sink is about to hold something else.
    func sinkChanges(_ path: String, to next: String?, begun: Instant) {
        trace.note("sink", next.flatMap { vault.tokens[$0]?.number } ?? 0, "\(path): \(next ?? "empty")")
        guard let name = disk[path], let current = vault.tokens[name], vault.isValid(name, at: loop.now) else { return }
        guard let next else {
            // Vault counts what is left in whole seconds.
            let isKnownValid = toldBound(current).map { loop.now + .seconds(1) < $0 } ?? (current.expiry == nil)
            let mayGo = process.map { $0.isStopping || begun <= ($0.listedSince[path] ?? begun) } ?? true
            if isKnownValid, !mayGo { violate(.neverWorse, "a valid token was taken from \(path)") }
            return
        }
        if next != name { expectRevocation(of: name, at: path) }
        // That the disk takes longer than the lease, or somebody revokes it meanwhile, is nothing the agent could know.
        guard let better = vault.tokens[next], better.revoked || vault.isValid(next, at: begun) || isDoomed(next) else {
            violate(.neverWorse, "a valid token at \(path) was replaced with one that is not")
            return
        }
        if better.number < current.number, !isOther(better, than: current) {
            violate(
                .neverWorse, "at \(path) token \(current.number) was replaced with token \(better.number), an older one"
            )
        }
    }

    /// When a token ends by what the agent was told, its parents' ends counted; nil: never, or the agent was told nothing.
    func toldBound(_ token: VaultModel.Token) -> Instant? {
        let parent = (token.parent ?? token.inside).flatMap { vault.tokens[$0] }.flatMap(toldBound)
        return [token.toldExpiry, parent].compactMap(\.self).min()
    }

    /// Its parent, or what it stands for, was revoked by somebody.
    private func isDoomed(_ name: String) -> Bool {
        guard let token = vault.tokens[name] else { return false }
        return [token.parent, token.inside].compactMap(\.self).contains {
            vault.tokens[$0]?.revoked ?? true || isDoomed($0)
        }
    }

    /// Of another configured token: a reload may give a place to another.
    private func isOther(_ token: VaultModel.Token, than other: VaultModel.Token) -> Bool {
        token.line != other.line
    }

    /// Looks at the world from outside, now and again.
    func probe() {
        checkPromises()
        let pause = generator.share(of: min(.seconds(240), (shortestLease ?? .seconds(240)) / 4), between: 0.2, and: 1)
        guard loop.now + pause < end else { return }
        _ = loop.schedule(at: loop.now + pause) { [unowned self] in self.probe() }
    }

    private func checkPromises() {
        let now = loop.now
        noteWeather()
        guard let process, !process.isStopping, now - max(process.startedAt, resumedAt) > .seconds(1)
        else { return }
        guard let latest = process.reporter.latest else {
            violate(.neverSilent, "no report since the start")
            return
        }
        if now - troubledUntil > options.healthBeforeFresh {
            for path in process.listed.sorted() { checkFreshness(path, latest) }
        }
        for path in process.listed.sorted() { checkRemoval(path) }
        for health in latest.tokens { checkWords(of: health, process.reporter) }
    }

    private func checkWords(of health: TokenHealth, _ reporter: LatestReport) {
        let now = loop.now
        let isSaidFresh = health.phase == .fresh
        if isSaidFresh {
            for path in paths(of: health) {
                guard let name = disk[path], let expiry = bound(name), expiry + .seconds(1) < now else { continue }
                // Either it slept past the expiry, or it says what is not so.
                violate(
                    reporter.reportedAt < expiry ? .neverLate : .neverSilent,
                    "\(health.name): said to be fresh, expired at \(path) for \((now - expiry).text)")
            }
        }
        if !isSaidFresh, health.phase != .starting, health.firstTrouble == nil {
            violate(.neverSilent, "\(health.name): \(health.phase.rawValue) without a cause")
        }
        if health.phase == .starting, health.firstTrouble == nil, health.name.hasSuffix("/1") == false,
            now - health.since(reporter) > .seconds(120), now - troubledUntil > .seconds(120)
        {
            violate(.neverSilent, "\(health.name): starting for two minutes without a cause")
        }
        if let validUntil = health.validUntil, let truth = vault.latestToldExpiry[health.name] {
            let claimed = reporter.reportedAt + (validUntil - reporter.wallTime)
            if claimed > truth + .milliseconds(10) {
                violate(.neverLate, "\(health.name): said to be valid \((claimed - truth).text) longer than it is")
            }
            if claimed + .seconds(1) < now, isSaidFresh {
                violate(.neverLate, "\(health.name): fresh, \((now - claimed).text) past its own expiry")
            }
        }
    }

    /// When a token ends, its parents' ends counted; nil: never, or revoked by somebody.
    func bound(_ name: String) -> Instant? {
        guard let token = vault.tokens[name] else { return nil }
        let parent = (token.parent ?? token.inside).flatMap(bound)
        return [token.expiry, parent].compactMap(\.self).min()
    }

    func paths(of health: TokenHealth) -> [String] {
        health.sinks.map { String($0.name.drop { $0 != "/" }) }
    }

    private func checkFreshness(_ path: String, _ latest: AgentHealth) {
        let now = loop.now
        let name = disk[path]
        let token = name.flatMap { vault.tokens[$0] }
        // A revocation shows at the next lookup, and that comes within 5 minutes.
        let noticed = options.healthBeforeFresh + .seconds(301)
        let revoked = name.map { isRevoked($0) } ?? false
        if let token, revoked, !token.isNoticedDead || now - troubledUntil < noticed { return }
        if token?.parent != nil, options.role.uses > 0 || options.role.forbidsLookups { return }
        let calm = (now - troubledUntil).text
        guard let name, let token, vault.isValid(name, at: now) else {
            let health = latest.tokens.first { paths(of: $0).contains(path) }
            let said = health?.firstTrouble.map { "\($0.error.code.rawValue): \($0.error.observed)" } ?? "no trouble"
            violate(.fresh, "all healthy for \(calm) and no valid token at \(path); the agent says \(said)")
            return
        }
        guard Place(path: path) == .file, let expiry = token.expiry, let full = token.full else { return }
        let share = full < .seconds(60) ? 0.2 : 1.0 / 3
        let left = expiry - now
        if left < full * share - .milliseconds(1) {
            violate(.fresh, "all healthy for \(calm) and only \(left.text) of \(full.text) left at \(path)")
        }
    }

    func isRevoked(_ name: String) -> Bool {
        guard let token = vault.tokens[name] else { return true }
        return token.revoked || (token.parent ?? token.inside).map(isRevoked) ?? false
    }
}

extension TokenHealth {
    /// When its phase began, on the clock that waits go by.
    fileprivate func since(_ reporter: LatestReport) -> Instant {
        reporter.reportedAt + (since - reporter.wallTime)
    }
}
