// AgentService: where machines ask how the agent is. An address that cannot be had keeps no token from anyone: it is tried again
// until it can be had, and told meanwhile.

import Diagnosis
import EventLoop
import HTTPServer
import Logging
import ServiceHealth
import Timekeeping

/// The listeners of one configuration. On the loop's queue.
final class HealthListeners: @unchecked Sendable {
    private final class Listener {
        let address: String
        let pages: HealthPages
        var server: HTTPServer?
        var trouble: Trouble?
        var alarm: Alarm?

        init(_ address: String, _ pages: HealthPages) {
            self.address = address
            self.pages = pages
        }
    }

    private static let firstPause: Duration = .seconds(1)
    private static let longestPause: Duration = .seconds(30)

    private let loop: EventLoop
    private let log: Logger
    private let answer: @Sendable (ServerRequest, HealthPages) -> ServerReply
    private let whenChanged: @Sendable ([ListenerHealth]) -> Void
    private var listeners: [Listener] = []

    /// `answer` and `whenChanged` are called on the loop's queue.
    init(
        on loop: EventLoop, log: Logger, answer: @escaping @Sendable (ServerRequest, HealthPages) -> ServerReply,
        whenChanged: @escaping @Sendable ([ListenerHealth]) -> Void
    ) {
        self.loop = loop
        self.log = log
        self.answer = answer
        self.whenChanged = whenChanged
    }

    /// Has these listen and no others. Those that do already go on.
    func adopt(_ wanted: [String: HealthPages]) {
        let kept = listeners.filter { wanted[$0.address] == $0.pages }
        for listener in listeners where !kept.contains(where: { $0 === listener }) { end(listener) }
        let new = wanted.filter { address, _ in !kept.contains { $0.address == address } }
            .map { Listener($0.key, $0.value) }
        listeners = (kept + new).sorted { $0.address < $1.address }
        for listener in new { open(listener) }
        tell()
    }

    func stop() {
        listeners.forEach(end)
        listeners = []
    }

    private func end(_ listener: Listener) {
        listener.server?.stop()
        listener.server = nil
        if let alarm = listener.alarm { loop.cancel(alarm) }
        listener.alarm = nil
    }

    private func open(_ listener: Listener) {
        listener.alarm = nil
        let (answer, pages) = (answer, listener.pages)
        let fields: Logger.Metadata = ["address": "\(listener.address)", "pages": "\(pages.words)"]
        do throws(AgentError) {
            listener.server = try HTTPServer(at: try ListenAddress(listener.address), on: loop) { answer($0, pages) }
            if listener.trouble != nil { log.notice("Metrics and probes are served now", metadata: fields) }
            listener.trouble = nil
        } catch {
            let attempts = (listener.trouble?.attempts ?? 0) + 1
            listener.trouble = Trouble(
                error: error, since: listener.trouble?.since ?? loop.wallTime, attempts: attempts)
            if attempts & (attempts - 1) == 0 {
                let more = fields.merging(["attempts": "\(attempts)"]) { $1 }
                log.error("Metrics and probes are not served", error: error, metadata: more)
            }
            let pause = min(Self.firstPause * (1 << min(attempts - 1, 10)), Self.longestPause)
            let address = listener.address
            listener.alarm = loop.schedule(at: loop.now + pause) { [weak self] in self?.openAgain(address) }
        }
    }

    private func openAgain(_ address: String) {
        guard let listener = listeners.first(where: { $0.address == address }), listener.server == nil else { return }
        open(listener)
        tell()
    }

    private func tell() {
        whenChanged(
            listeners.map { ListenerHealth(address: $0.address, pages: $0.pages, trouble: $0.trouble) })
    }
}
