// SimulatedWorld: whether the agent does what it is told: by its configuration, a reload, a signal or a stop. What may have been
// in the way is no fault of it, so each is asked only where nothing else has happened meanwhile.

import Timekeeping
import TokenLifecycle

extension World {
    /// Calls `check` after `pause`, if the process still runs then and nothing has been wrong since.
    private func ifCalm(for pause: Duration, _ check: @escaping @Sendable (Process) -> Void) {
        guard let process, !process.isStopping else { return }
        let begun = loop.now
        _ = loop.schedule(at: begun + pause) { [unowned self] in
            noteWeather()
            guard self.process === process, !process.isStopping, troubledUntil <= begun else { return }
            check(process)
        }
    }

    /// Somebody wants a login now. `calmSince`: when something was wrong last.
    func expectLogin(calmSince: Instant) {
        guard loop.now - calmSince > .seconds(120) else { return }
        let before = vault.logins
        ifCalm(for: .seconds(5)) { [unowned self] _ in
            if vault.logins == before { violate(.asTold, "no login within 5 s of SIGUSR1") }
        }
    }

    /// A reload that leaves the login as it is leaves the token where it is.
    func expectSameToken(after variant: Variant, calmSince: Instant) {
        guard let process, process.reloads.isEmpty, variant.roleIsOther == process.variant.roleIsOther,
            !variant.isWrong,
            loop.now - calmSince > .seconds(120), let name = disk[World.token], vault.isValid(name, at: loop.now),
            let token = vault.tokens[name], hasTime(token)
        else { return }
        ifCalm(for: .seconds(3)) { [unowned self] _ in
            guard disk[World.token] != name, vault.isValid(name, at: loop.now) else { return }
            violate(.asTold, "a reload that changes no login replaced the token")
        }
    }

    /// Whether neither renewal nor login is due soon.
    private func hasTime(_ token: VaultModel.Token) -> Bool {
        guard let expiry = token.expiry, let full = token.full else { return true }
        return expiry - loop.now > full / 2 + .seconds(10)
    }

    /// A token was replaced at this place. After a time of trouble the agent may have to revoke others first, or take this one
    /// for expired because the answer to a renewal was lost.
    func expectRevocation(of name: String, at path: String) {
        guard case .revoke(let grace) = options.policy.replaced, Place(path: path) == .file,
            loop.now - troubledUntil > .seconds(600)
        else { return }
        ifCalm(for: grace + .seconds(90)) { [unowned self] process in
            let isFound = process.listed.contains { disk[$0].map { stands(on: name, $0) } ?? false }
            guard !isFound, process.reloads.isEmpty, vault.isValid(name, at: loop.now) else { return }
            violate(.asTold, "a replaced token of \(path) was not revoked within \((grace + .seconds(90)).text)")
        }
    }

    /// The agent revokes a token: none that readers depend on.
    func noteRevocation(_ name: String) {
        guard let process, !process.isStopping, vault.isValid(name, at: loop.now) else { return }
        for path in process.listed.sorted() {
            guard let found = disk[path], stands(on: name, found), vault.isValid(found, at: loop.now) else { continue }
            violate(.neverWorse, "the token at \(path) was revoked, or what it stands on")
        }
    }

    /// Whether `name` is that token, its child, or stands for one of these.
    private func stands(on other: String, _ name: String) -> Bool {
        if name == other { return true }
        guard let token = vault.tokens[name] else { return false }
        return [token.parent, token.inside].compactMap(\.self).contains { stands(on: other, $0) }
    }

    /// Where expired tokens are to be removed they go as soon as the disk lets them.
    func checkRemoval(_ path: String) {
        guard let process, process.reloads.isEmpty, Place(path: path) != .wrapped, removesExpired(process.variant),
            let name = disk[path], let token = vault.tokens[name], let told = toldBound(token)
        else { return }
        // A token by another login than that of the start tells a process nothing: it goes when there is a new one.
        let isFromBefore = token.toldAt < process.startedAt
        if isFromBefore, !rolesAtStart.contains(token.loginRole) { return }
        // What an earlier process was told last may not be on record: this one asks first, as soon as Vault answers it.
        let asked = isFromBefore ? process.unansweredAt + options.healthBeforeFresh : told
        let since =
            [
                told, asked, process.startedAt, resumedAt, diskFreeAt, diskWeather.troubledUntil(at: loop.now) ?? start,
                reloadedAt,
            ].max() ?? told
        if loop.now - since > .seconds(20) {
            violate(.asTold, "a token that expired \((loop.now - told).text) ago was not removed from \(path)")
        }
    }

    private func removesExpired(_ variant: Variant) -> Bool {
        (options.policy.expired == .remove) != variant.policyIsOther
    }
}
