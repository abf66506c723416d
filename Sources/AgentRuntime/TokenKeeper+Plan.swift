// AgentRuntime: a token's part of a start or a reload: prepared out of sight, then put in force at once.

import AWSIdentity
import Configuration
import Crypto
import Diagnosis
import Logging
import ServiceHealth
import StateDirectory
import Timekeeping
import TokenLifecycle
import TokenSinks
import VaultAPI

extension TokenKeeper {
    /// What new settings need, made and tried; nothing of it is visible until ``adopt(_:former:taken:logInFrom:_:)``.
    struct Preparation {
        fileprivate let settings: TokenSettings
        /// Nil: what is in force stays.
        fileprivate let login: LoginPoint?
        fileprivate let lines: [KeptLine]
        /// In the configuration's order; those that stay are those in force.
        let sinks: [KeptSink]
        /// Nil: the one in force stays.
        fileprivate let onChange: (any ChangeListener)?
        fileprivate let found: [FoundToken]
    }

    // MARK: Prepare

    /// Throws what makes a sink or a login impossible, and what only a person can mend. Nothing has happened then.
    /// `isReload`: there is something to lose; at a start a file that is not there yet is waited for.
    func prepare(_ settings: TokenSettings, isReload: Bool) async throws(AgentError) -> Preparation {
        let before = inForce
        let isSame = before.map { $0.settings.isSameLogin(as: settings) } ?? false
        let login = isSame ? nil : try LoginPoint(settings, in: surroundings, log: log)
        let lines = lines(for: settings)
        let sinks = try sinks(for: settings, lines)
        let onChange =
            before?.settings.onChange == settings.onChange
            ? nil : settings.onChange.flatMap { listener(for: $0, about: [:]) }
        if isReload, login != nil { try settings.vault.checkFiles() }
        for sink in sinks where !isInForce(sink) { try await sink.check() }
        try await login?.origin.prepare()
        let found: [FoundToken] = if before == nil, let login { await findTokens(sinks, lines, login) } else { [] }
        return Preparation(
            settings: settings, login: login, lines: lines, sinks: sinks, onChange: onChange, found: found)
    }

    func newSinks(of preparation: Preparation) -> [KeptSink] {
        preparation.sinks.filter { !isInForce($0) }
    }

    private func isInForce(_ sink: KeptSink) -> Bool {
        inForce?.sinks.contains { $0 === sink } ?? false
    }

    /// The login's line, and one for each sink with policies of its own.
    private func lines(for settings: TokenSettings) -> [KeptLine] {
        var lines = [line(.login, settings.name, policies: nil)]
        for sink in settings.sinks where !sink.policies.isEmpty {
            let before = inForce?.sinks.first { $0.path == sink.path && $0.settings.policies == sink.policies }
            lines.append(
                line(
                    before?.line ?? LineID(number: nextNumber()), "\(settings.name)/\(lines.count)",
                    policies: sink.policies))
        }
        return lines
    }

    private func line(_ id: LineID, _ name: String, policies: [String]?) -> KeptLine {
        let before = inForce?.lines.first { $0.id == id }
        if let before, before.name == name { return before }
        let journal = before?.journal ?? KeeperJournal(isChild: policies != nil, log: log(of: name))
        return KeptLine(id: id, name: name, policies: policies, journal: journal)
    }

    /// The line of the login has the token's own log.
    private func log(of line: String) -> Logger {
        guard line != name else { return log }
        var log = log
        log[metadataKey: "token"] = "\(line)"
        return log
    }

    private func sinks(for settings: TokenSettings, _ lines: [KeptLine]) throws(AgentError) -> [KeptSink] {
        var children = lines.dropFirst()
        var sinks: [KeptSink] = []
        for sink in settings.sinks {
            guard let line = sink.policies.isEmpty ? lines.first : children.popFirst() else { continue }
            let before = inForce?.sinks.first { $0.settings == sink && $0.line == line.id }
            if let before {
                sinks.append(before)
                continue
            }
            sinks.append(
                KeptSink(
                    id: SinkID(number: nextNumber()), settings: sink, line: line.id,
                    sink: try surroundings.sinks.makeSink(sink, log: log),
                    onChange: sink.onChange.flatMap { listener(for: $0, about: [ChangeVariable.sink: sink.path]) },
                    log: log))
        }
        return sinks
    }

    private func listener(for action: ChangeAction, about: [String: String]) -> (any ChangeListener)? {
        surroundings.sinks.makeChangeListener(
            action, about: about.merging([ChangeVariable.name: name]) { given, _ in given }, log: log)
    }

    /// The tokens that an earlier run left in the sinks, as far as its record tells them; the newest first, parents before
    /// their children.
    private func findTokens(_ sinks: [KeptSink], _ lines: [KeptLine], _ login: LoginPoint) async -> [FoundToken] {
        guard let record = await surroundings.takeovers?.record(for: name) else { return [] }
        var places: [[UInt8]: [KeptSink]] = [:]
        var tokens: [[UInt8]: Secret] = [:]
        for sink in sinks {
            guard let token = await sink.sink.heldToken() else { continue }
            let digest = SHA256.digest(of: token)
            places[digest, default: []].append(sink)
            tokens[digest] = token
        }
        var found: [FoundToken] = []
        var ids: [[UInt8]: TokenID] = [:]
        for entry in record.entries.filter({ $0.parent == nil }) + record.entries.filter({ $0.parent != nil }) {
            guard ids[entry.token] == nil, let token = tokens[entry.token],
                let sinks = places[entry.token], let line = lines.first(where: { $0.id == sinks[0].line }),
                login.digest(ofChild: line.policies) == entry.origin,
                entry.sink.map({ path in sinks.contains { SHA256.digest(of: $0.path) == path } }) ?? true,
                (entry.parent == nil) == (line.policies == nil)
            else { continue }
            let parent = entry.parent.flatMap { ids[$0] }
            guard (parent == nil) == (entry.parent == nil) else { continue }
            let lease = entry.lease.flatMap { known($0, boot: record.boot) }
            let id = keep(
                HeldToken(
                    found: token, login: login, origin: entry.origin, principal: entry.principal,
                    identity: Principal(record: entry.identity),
                    left: lease?.expiry.map { max(.zero, $0 - timekeeper.now) }, renewable: lease?.renewable ?? false,
                    at: timekeeper.now))
            ids[entry.token] = id
            found.append(FoundToken(id: id, line: line.id, parent: parent, lease: lease, sinks: sinks.map(\.id)))
        }
        return found
    }

    /// What is left of a lease: by time since boot, which nobody sets; after another boot by the calendar. Nil where that cannot
    /// be true: the clock was set back, and nothing is known.
    private func known(_ lease: TakeoverRecord.Lease, boot: String?) -> KnownLease? {
        let isThisBoot = boot != nil && boot == surroundings.boot
        let left = lease.expiry.map {
            isThisBoot ? $0.sinceBoot - timekeeper.now : $0.calendar - timekeeper.wallTime
        }
        guard let left else {
            return KnownLease(expiry: nil, full: nil, renewable: lease.renewable, limitedUses: lease.limitedUses)
        }
        guard let full = lease.full, left <= full + .seconds(1) else { return nil }
        return KnownLease(
            expiry: timekeeper.now + min(left, full), full: full, renewable: lease.renewable,
            limitedUses: lease.limitedUses)
    }

    // MARK: Put in force

    /// Puts what was prepared in force. `former`: the sinks of all tokens until now, by path: each new one takes over from
    /// the one at its place. `taken`: paths that the configuration names. `logInFrom`: not before then, if the login is another
    /// one. `onDisturbed` is called on the agent's queue.
    func adopt(
        _ preparation: Preparation, former: [String: KeptSink], taken: Set<String>, logInFrom: Instant,
        _ onDisturbed: @escaping @Sendable (SinkID) -> Void
    ) -> [KeeperWork] {
        let new = newSinks(of: preparation)
        let listed = Set(preparation.sinks.map(\.id))
        let paths = Set(preparation.sinks.map(\.path))
        let outline = outline(of: preparation)
        for line in preparation.lines { line.journal.log = log(of: line.name) }
        for sink in new {
            let id = sink.id
            sink.takePlace(of: former[sink.path]) { onDisturbed(id) }
        }
        let gone = allSinks.filter { !listed.contains($0.id) }
        leaving = gone.filter { !paths.contains($0.path) }
        let takenSinks = Set(gone.filter { taken.contains($0.path) || paths.contains($0.path) }.map(\.id))
        let work: [KeeperWork]
        if let before = inForce {
            let login = preparation.login ?? before.login
            if before.settings.onChange != preparation.settings.onChange { before.onChange?.close() }
            let onChange =
                before.settings.onChange == preparation.settings.onChange ? before.onChange : preparation.onChange
            inForce = InForce(
                settings: preparation.settings, login: login, lines: preparation.lines, sinks: preparation.sinks,
                onChange: onChange)
            // The same login by other means: its tokens are asked about by these from now on.
            for (id, token) in held where token.login.identity == login.identity { held[id]?.login = login }
            let change: LoginChange =
                if (newest?.login ?? before.login).identity == login.identity {
                    .fits
                } else if before.login.identity == login.identity {
                    .awaited
                } else {
                    .other(from: logInFrom)
                }
            work = carryOut(
                lifecycle.reconfigured(outline, login: change, taken: takenSinks, at: timekeeper.now))
        } else {
            guard let login = preparation.login else { return [] }
            inForce = InForce(
                settings: preparation.settings, login: login, lines: preparation.lines, sinks: preparation.sinks,
                onChange: preparation.onChange)
            var seed = SeededGenerator(seed: surroundings.seed)
            for byte in name.utf8 { seed = SeededGenerator(seed: seed.next() ^ UInt64(byte)) }
            lifecycle = TokenLifecycle(outline, seed: seed.next())
            tellOfTakeover(preparation.found)
            self.found = preparation.found
            work = []
        }
        return new.map { .open($0.id) } + work
    }

    /// The first step after the first ``adopt(_:former:taken:logInFrom:_:)``.
    func begin() -> [KeeperWork] {
        defer { found = [] }
        return carryOut(lifecycle.start(found: found, at: timekeeper.now))
    }

    private var newest: HeldToken? {
        lifecycle.current().flatMap { held[$0] }
    }

    private func outline(of preparation: Preparation) -> LifecycleOutline {
        LifecycleOutline(
            policy: preparation.settings.policy, children: preparation.lines.dropFirst().map(\.id),
            sinks: preparation.sinks.map { sink in
                // One that leaves and is not empty yet counts too: its readers find a token.
                let before = allSinks.first { $0.path == sink.path && $0.id != sink.id }
                return LifecycleOutline.Sink(
                    id: sink.id, line: sink.line, wrapTTL: sink.settings.wrapTTL, successorOf: before?.id)
            },
            renewalAsksAWS: preparation.settings.login.method.renewalAsksAWS)
    }

    private func tellOfTakeover(_ found: [FoundToken]) {
        for each in found {
            guard let token = held[each.id] else { continue }
            var fields: Logger.Metadata = ["lease": "\(token.leaseDuration?.text ?? "not known")"]
            if !token.principal.isEmpty { fields["principal"] = "\(token.principal)" }
            log.notice("Token of an earlier run found", metadata: fields)
        }
    }
}

extension LoginSettings.Method {
    /// At the renewal of an ec2 token Vault asks EC2 whether the instance still runs.
    fileprivate var renewalAsksAWS: Bool {
        switch self {
        case .iam: false
        case .ec2: true
        }
    }
}

extension TokenSettings {
    fileprivate func isSameLogin(as other: TokenSettings) -> Bool {
        vault == other.vault && login == other.login && aws == other.aws && audience == other.audience
            && identity == other.identity
    }
}

/// The variables by which a command of `on_change` knows what has changed.
private enum ChangeVariable {
    /// The token's name in the configuration.
    static let name = "VAULT_TOKEN_AGENT_NAME"
    /// The path of the sink, for an action of one sink.
    static let sink = "VAULT_TOKEN_AGENT_SINK"
}
