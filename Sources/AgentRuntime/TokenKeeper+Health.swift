// AgentRuntime: how a token and its children are, in the words of the status file.

import Configuration
import ServiceHealth
import Timekeeping
import TokenLifecycle

extension TokenKeeper {
    /// The tokens of the login first, then those of its children.
    func health() -> [TokenHealth] {
        lifecycle.health(at: timekeeper.now).compactMap { state in
            guard let line = inForce?.lines.first(where: { $0.id == state.line }) else { return nil }
            let sinks = (inForce?.sinks ?? []).filter { $0.line == line.id }
            var health = TokenHealth(
                name: line.name, phase: state.phase, since: second(of: state.since))
            health.validUntil = state.validUntil.map(second(of:))
            health.neverExpires = state.validUntil == nil && (state.phase == .fresh || state.phase == .struggling)
            health.outageBudget = state.outageBudget?.map(second(of:))
            health.lease = state.fullLease
            health.nextStep = state.next?.step
            health.nextAt = state.next.map { second(of: $0.at) }
            health.trouble = state.trouble.map(trouble)
            health.sinks = state.sinks.compactMap { each in
                sinks.first { $0.id == each.id }.map {
                    SinkHealth(name: $0.name, delivered: each.delivered, trouble: each.trouble.map(trouble))
                }
            }
            if line.policies == nil, surroundings.reporter.tellsConfiguration {
                health.configuration = inForce?.fingerprint.parts ?? [:]
            }
            health.counters = line.journal.counters
            health.counters.sinkWrites = sinks.reduce(0) { $0 + $1.writes }
            health.counters.sinkRepairs = sinks.reduce(0) { $0 + $1.repairs }
            return health
        }
    }

    private func trouble(_ trouble: LifecycleHealth.Trouble) -> Trouble {
        Trouble(error: trouble.error, since: second(of: trouble.since), attempts: trouble.attempts)
    }

    /// All are told to the second: between two looks the clocks do not keep step to the nanosecond, and that is no news.
    private func second(of moment: Instant) -> WallTime {
        WallTime(secondsSince1970: wallTime(of: moment).secondsSince1970)
    }

    /// The newest token of each line, for the summary of a login.
    func summaries() -> [LoginSummary] {
        (inForce?.lines ?? []).compactMap { line in
            guard let known = lifecycle.current(of: line.id).flatMap({ held[$0] }) else { return nil }
            return LoginSummary(
                name: line.name, token: known.token, accessor: known.accessor, policies: known.policies,
                metadata: known.metadata, leaseDuration: known.leaseDuration, renewable: known.renewable)
        }
    }
}
