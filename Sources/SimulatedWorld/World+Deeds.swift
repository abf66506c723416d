// SimulatedWorld: what people and machines do to the agent.

import AWSIdentity
import AgentRuntime
import ChildProcess
import Diagnosis
import Timekeeping
import TokenLifecycle

extension World {
    /// Plans the next deed, if there is to be one before the liveness phase.
    func planDeed() {
        guard !options.deeds.isEmpty else { return }
        let moment = loop.now + generator.share(of: options.betweenDeeds, between: 0.02, and: 2)
        guard moment < calmFrom else { return }
        _ = loop.schedule(at: moment) { [unowned self] in
            let deed = options.deeds[Int.random(in: 0..<options.deeds.count, using: &generator)]
            trace.note("deed", UInt64(Deed.allCases.firstIndex(of: deed) ?? 0), "\(deed)")
            carryOut(deed)
            planDeed()
        }
    }

    private func carryOut(_ deed: Deed) {
        let calmSince = troubledUntil
        lastDeedAt = loop.now
        trouble(until: loop.now)
        switch deed {
        case .kill: kill(times: Int.random(in: 1...3, using: &generator))
        case .terminate: terminate()
        case .reload: reload(calmSince: calmSince)
        case .reloadOften: reload(times: 8)
        case .logInNow:
            expectLogin(calmSince: calmSince)
            logInNow()
        case .logInOften: logIn(times: 60, every: generator.share(of: .seconds(2), between: 0.05, and: 1))
        case .disturbSink:
            trouble(until: loop.now + .seconds(1))
            guard let path = sinks.keys.sorted().randomElement(using: &generator) else { return }
            disk.damage(path, Bool.random(using: &generator) ? nil : "overwritten")
            sinks[path]?.notice()
        case .revokeToken: revoke()
        case .stepClock:
            let hours = Double.random(in: -3...3, using: &generator)
            loop.clockError = .seconds(3_600) * hours
        case .suspend:
            let pause = generator.share(of: .seconds(7_200), between: 0.001, and: 1)
            loop.suspend(for: pause)
            resumedAt = loop.now
            trouble(until: loop.now)
        case .changeTTL: shortenLeases()
        }
    }

    private func kill(times: Int) {
        killProcess()
        let pause = generator.share(of: .seconds(20), between: 0.001, and: 1)
        trouble(until: loop.now + pause)
        _ = loop.schedule(at: loop.now + pause) { [unowned self] in
            startProcess()
            guard times > 1 else { return }
            let life = generator.share(of: .seconds(2), between: 0, and: 1)
            _ = loop.schedule(at: loop.now + life) { [unowned self] in kill(times: times - 1) }
        }
    }

    private func logInNow() {
        for key in process?.ledgers.keys.sorted() ?? [] { process?.ledgers[key]?.endQuiet() }
        process?.agent.assumeIsolated { $0.logInNow() }
    }

    /// A script that sends the signal again and again.
    private func logIn(times: Int, every pause: Duration) {
        trouble(until: loop.now)
        logInNow()
        guard times > 1 else { return }
        _ = loop.schedule(at: loop.now + pause) { [unowned self] in logIn(times: times - 1, every: pause) }
    }

    private func terminate() {
        guard let process, !process.isStopping else { return }
        process.isStopping = true
        let told = loop.now
        trouble(until: told + .seconds(60))
        _ = loop.schedule(at: told + .seconds(5)) { [unowned self] in
            if self.process === process { violate(.asTold, "not stopped 5 s after it was told to") }
        }
        process.agent.assumeIsolated { agent in
            agent.stop { [unowned self] in
                trace.note("stopped")
                if loop.now - told > .seconds(5) { violate(.asTold, "stopping took \((loop.now - told).text)") }
                process.transport.isAlive = false
                guard self.process === process else { return }
                self.process = nil
                let pause = generator.share(of: .seconds(30), between: 0.001, and: 1)
                _ = loop.schedule(at: loop.now + pause) { [unowned self] in
                    if self.process == nil { startProcess() }
                }
            }
        }
    }

    /// A deployment that cannot make up its mind.
    private func reload(times: Int) {
        trouble(until: loop.now)
        reload(calmSince: loop.now)
        guard times > 1 else { return }
        let pause = generator.share(of: .seconds(3), between: 0.001, and: 1)
        _ = loop.schedule(at: loop.now + pause) { [unowned self] in reload(times: times - 1) }
    }

    private func reload(calmSince: Instant) {
        guard let process, !process.isStopping else { return }
        let variant = randomVariant()
        trace.note("reloads", UInt64(variant.number), "\(variant)")
        expectSameToken(after: variant, calmSince: calmSince)
        reloadedAt = loop.now
        for key in process.ledgers.keys.sorted() { process.ledgers[key]?.endQuiet() }
        let (configuration, agent) = (configuration(variant), process.agent)
        // Until it is over, what neither wants may go.
        process.reloads.append(variant)
        process.list(process.listed.intersection(paths(variant)), at: loop.now)
        Task(executorPreference: loop) {
            do throws(AgentError) {
                try await agent.reload(configuration)
                process.variant = variant
            } catch {
                if !variant.isWrong, error.code != .cancelled { self.violate(.neverSilent, "reload refused: \(error)") }
                self.trace.note("reload refused", 0, "\(error)")
            }
            process.reloads.removeFirst()
            self.reloadedAt = self.loop.now
            let paths = process.reloads.reduce(self.paths(process.variant)) { $0.intersection(self.paths($1)) }
            process.list(paths, at: self.loop.now)
        }
    }

    private func revoke() {
        guard let token = disk[World.token], let known = vault.tokens[token], known.isValid(at: loop.now) else {
            return
        }
        vault.revoke(token)
    }

    /// For some minutes the role gives leases of seconds.
    private func shortenLeases() {
        guard options.role.ttl > .zero, vault.role.ttl == options.role.ttl else { return }
        let ttl: Duration = .seconds([1, 2, 20, 45, 60, 90][Int.random(in: 0..<6, using: &generator)])
        vault.role.ttl = ttl
        vault.role.maximum = min(options.role.maximum, generator.share(of: ttl * 12, between: 0.1, and: 1))
        shortestLease = min(shortestLease ?? ttl, ttl)
        spell += 1
        let spell = spell
        logInNow()
        _ = loop.schedule(at: loop.now + generator.share(of: min(ttl * 40, .seconds(600)), between: 0.1, and: 1)) {
            [unowned self] in
            vault.role = options.role
            // A periodic token would keep its short period for ever.
            if options.role.periodic {
                vault.revokeAll(shorterThan: options.role.ttl)
                trouble(until: loop.now)
            }
            // What was issued until now is measured by its own lease for a while yet.
            _ = loop.schedule(at: loop.now + .seconds(120)) { [unowned self] in
                if self.spell == spell { shortestLease = options.shortestLease }
            }
        }
    }
}

/// A machine without AWS files.
struct NoFiles: FileReading {
    func read(_ path: String, limit: Int) throws(FileFault) -> FileContent {
        throw .absent("no such file")
    }
}

/// A machine on which no program can be started.
struct NoProcesses: ProcessRunning {
    func run(_ command: ChildCommand) async throws(AgentError) -> ChildOutcome {
        throw AgentError(.commandFailed, "no such program")
    }
}
