// AgentRuntime: one sink at work: the place, who is told of changes, and the sink that it takes the place of.

import Configuration
import Crypto
import Diagnosis
import Logging
import ServiceHealth
import TokenLifecycle
import TokenSinks

/// A sink by settings that stay the same. Carries out what the core wants of it, and writes down how that went.
final class KeptSink {
    let id: SinkID
    let settings: SinkSettings
    /// Its tokens: those of the login, or children of them.
    let line: LineID
    let sink: any TokenSink
    let onChange: (any ChangeListener)?
    private let log: Logger
    private var repeated = RepeatedFailures()
    /// The sink at the same place by older settings. It serves until this one has been written.
    private var former: KeptSink?
    /// Another sink closes this one once that has been written.
    private(set) var isHandedOver = false
    /// Writes that changed something, and those among them that put back what was lost.
    private(set) var writes = 0
    private(set) var repairs = 0

    init(
        id: SinkID, settings: SinkSettings, line: LineID, sink: any TokenSink, onChange: (any ChangeListener)?,
        log: Logger
    ) {
        self.id = id
        self.settings = settings
        self.line = line
        self.sink = sink
        self.onChange = onChange
        self.log = log
    }

    var name: String { sink.name }
    var path: String { settings.path }
    var standing: SinkStanding? { sink.standing }

    /// Goes through all that writing will need, out of readers' sight. A full disk may pass: it is met when the token is
    /// written.
    func check() async throws(AgentError) {
        do {
            try await sink.check()
        } catch  where error.code == .sinkFull {
            log.warning("Sink is full", metadata: ["sink": "\(name)", "error": "\(error)"])
        }
    }

    /// Another sink is about to take its place, and closes it.
    func handOver() {
        isHandedOver = true
        onChange?.close()
    }

    /// This sink is in force. `former`: what readers find at its place until it has been written.
    func takePlace(of former: KeptSink?, _ onDisturbed: @escaping @Sendable () -> Void) {
        self.former = former
        let (log, name) = (log, name)
        sink.watch { disturbance in
            log.warning(
                "Sink was disturbed",
                metadata: [
                    "sink": "\(name)", "kind": "\(disturbance.kind.rawValue)", "observed": "\(disturbance.observed)",
                ])
            onDisturbed()
        }
    }

    /// Lets those come who want to wait for the first token.
    func open() async throws(AgentError) {
        if former == nil { try await sink.open() }
    }

    func write(_ content: TokenContent) async throws(AgentError) {
        do {
            let delivery = try await sink.deliver(content)
            former?.close()
            former = nil
            succeeded(delivery)
        } catch {
            if let attempts = repeated.failed("write", error.code) {
                log.error(
                    "Sink could not be written", error: error, metadata: ["sink": "\(name)", "attempts": "\(attempts)"])
            }
            throw error
        }
    }

    private func succeeded(_ delivery: Delivery) {
        if repeated.recovered("write") > 0 { log.notice("Sink works again", metadata: ["sink": "\(name)"]) }
        switch delivery {
        case .unchanged: return
        case .refreshed: log.debug("Sink refreshed", metadata: ["sink": "\(name)"])
        case .restored:
            repairs += 1
            log.warning("Sink put right", metadata: ["sink": "\(name)"])
        case .rotated: log.info("Token written", metadata: ["sink": "\(name)"])
        }
        writes += 1
    }

    func withdraw() async throws(AgentError) {
        do {
            try await sink.withdraw()
            _ = repeated.recovered("withdraw")
            log.notice("Token removed", metadata: ["sink": "\(name)"])
        } catch {
            if let attempts = repeated.failed("withdraw", error.code) {
                log.error(
                    "Token could not be removed", error: error,
                    metadata: ["sink": "\(name)", "attempts": "\(attempts)"])
            }
            throw error
        }
    }

    /// Lets go of it; what a file holds stays.
    func close() {
        sink.close()
        onChange?.close()
        former?.close()
        former = nil
    }
}
