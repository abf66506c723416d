// AgentRuntime: the sinks of one token as one: written together, watched together, each with its own trouble.

import Crypto
import Diagnosis
import Logging
import ServiceHealth
import Timekeeping
import TokenSinks

/// All sinks of one token. One that fails does not keep the others from the token.
final class SinkGroup {
    private struct Member {
        let sink: any TokenSink
        var holdsToken = false
        var error: AgentError?
        var failures = 0
    }

    private var members: [Member]
    private let log: Logger
    private var repeated = RepeatedFailures()
    /// Writes that changed something, and those among them that put back what was lost.
    private(set) var writes = 0
    private(set) var repairs = 0

    init(sinks: [any TokenSink], log: Logger) {
        members = sinks.map { Member(sink: $0) }
        self.log = log
    }

    /// Tries every sink; throws what only a person can mend. A full disk may pass: it is met when the token is written.
    func check() async throws(AgentError) {
        for member in members {
            do {
                try await member.sink.check()
            } catch  where error.code == .sinkFull {
                log.warning("Sink is full", metadata: ["sink": "\(member.sink.name)", "error": "\(error)"])
            }
        }
    }

    /// The token that the first readable sink holds, left there by an earlier run.
    func heldToken() async -> Secret? {
        for member in members {
            if let token = await member.sink.heldToken() { return token }
        }
        return nil
    }

    /// Puts the token into every sink; throws the first failure after all were tried.
    func deliver(_ content: TokenContent) async throws(AgentError) {
        var firstError: AgentError?
        for index in members.indices {
            let sink = members[index].sink
            do {
                note(try await sink.deliver(content), sink: sink)
                members[index].holdsToken = true
                members[index].error = nil
                members[index].failures = 0
                if repeated.recovered(sink.name) > 0 {
                    log.notice("Sink works again", metadata: ["sink": "\(sink.name)"])
                }
            } catch {
                members[index].holdsToken = false
                members[index].error = error
                members[index].failures += 1
                firstError = firstError ?? error
                if let attempts = repeated.failed(sink.name, error.code) {
                    log.error(
                        "Sink could not be written", error: error,
                        metadata: ["sink": "\(sink.name)", "attempts": "\(attempts)"])
                }
            }
        }
        if let firstError { throw firstError }
    }

    private func note(_ delivery: Delivery, sink: any TokenSink) {
        switch delivery {
        case .unchanged: return
        case .refreshed: log.debug("Sink refreshed", metadata: ["sink": "\(sink.name)"])
        case .restored:
            repairs += 1
            log.warning("Sink put right", metadata: ["sink": "\(sink.name)"])
        case .rotated: log.info("Token written", metadata: ["sink": "\(sink.name)"])
        }
        writes += 1
    }

    func withdraw() async {
        for index in members.indices {
            let sink = members[index].sink
            members[index].holdsToken = false
            do {
                try await sink.withdraw()
                log.notice("Token removed", metadata: ["sink": "\(sink.name)"])
            } catch {
                log.error("Token could not be removed", error: error, metadata: ["sink": "\(sink.name)"])
            }
        }
    }

    /// Has `onDisturbed` called, on the agent's queue, when one of the sinks has lost what was put there.
    func watch(_ onDisturbed: @escaping @Sendable () -> Void) {
        for member in members {
            let (log, name) = (log, member.sink.name)
            member.sink.watch { disturbance in
                log.warning(
                    "Sink was disturbed",
                    metadata: [
                        "sink": "\(name)", "kind": "\(disturbance.kind.rawValue)",
                        "observed": "\(disturbance.observed)",
                    ])
                onDisturbed()
            }
        }
    }

    func close() {
        for member in members { member.sink.close() }
    }

    /// `since`: when the first of the failures in a row happened, where one is.
    func health(troubleSince since: WallTime?) -> [SinkHealth] {
        members.map { member in
            var health = SinkHealth(name: member.sink.name, delivered: member.holdsToken)
            if let error = member.error, let since {
                health.trouble = Trouble(error: error, since: since, attempts: member.failures)
            }
            return health
        }
    }
}
