// AgentService: where machines ask how the agent is. An address that cannot be had keeps no token from anyone: it is tried again
// until it can be had, and told meanwhile.

import Diagnosis
import Dispatch
import EventLoop
import FileSystem
import HTTPServer
import Logging
import ServiceHealth
import Timekeeping

/// The listeners of one configuration. On the loop's queue.
final class HealthListeners: @unchecked Sendable {
    private final class Listener {
        let address: String
        let pages: HealthPages
        var listening: ListeningSocket?
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
    private let disk: BlockingQueue
    private let log: Logger
    private let answer: @Sendable (ServerRequest, HealthPages) -> ServerReply
    private let whenChanged: @Sendable ([ListenerHealth]) -> Void
    private var listeners: [Listener] = []

    /// `answer` and `whenChanged` are called on the loop's queue. Names of unix sockets are made and taken away on `disk`.
    init(
        on loop: EventLoop, disk: BlockingQueue, log: Logger,
        answer: @escaping @Sendable (ServerRequest, HealthPages) -> ServerReply,
        whenChanged: @escaping @Sendable ([ListenerHealth]) -> Void
    ) {
        self.loop = loop
        self.disk = disk
        self.log = log
        self.answer = answer
        self.whenChanged = whenChanged
    }

    /// Has these listen and no others. Those that do already go on. `done` follows, on the loop's queue, once each of the others
    /// listens, or it is known why it does not.
    func adopt(_ wanted: [String: HealthPages], _ done: @escaping @Sendable () -> Void = {}) {
        let kept = listeners.filter { wanted[$0.address] == $0.pages }
        for listener in listeners where !kept.contains(where: { $0 === listener }) { end(listener) }
        let new = wanted.filter { address, _ in !kept.contains { $0.address == address } }
            .map { Listener($0.key, $0.value) }
        listeners = (kept + new).sorted { $0.address < $1.address }
        for listener in new { open(listener) }
        tell()
        let queue = loop.queue
        disk.submit { queue.async(execute: done) }
    }

    func stop() {
        listeners.forEach(end)
        listeners = []
    }

    private func end(_ listener: Listener) {
        listener.server?.stop()
        listener.server = nil
        if let listening = listener.listening { disk.submit { listening.giveUp() } }
        listener.listening = nil
        if let alarm = listener.alarm { loop.cancel(alarm) }
        listener.alarm = nil
    }

    private func open(_ listener: Listener) {
        listener.alarm = nil
        let (address, pages) = (listener.address, listener.pages)
        disk.submit {
            let made = Result { () throws(AgentError) in try ListenAddress(address).listen() }
            self.loop.queue.async { self.opened(address, pages, made) }
        }
    }

    private func opened(_ address: String, _ pages: HealthPages, _ made: Result<ListeningSocket, AgentError>) {
        guard let listener = listeners.first(where: { $0.address == address && $0.pages == pages }),
            listener.server == nil
        else {
            // Another configuration has come meanwhile.
            if case .success(let listening) = made { disk.submit { listening.giveUp() } }
            return
        }
        serve(listener, made)
        tell()
    }

    private func serve(_ listener: Listener, _ made: Result<ListeningSocket, AgentError>) {
        let (answer, pages) = (answer, listener.pages)
        let fields: Logger.Metadata = ["address": "\(listener.address)", "pages": "\(pages.words)"]
        do throws(AgentError) {
            let listening = try made.get()
            listener.listening = listening
            listener.server = try HTTPServer(listening, on: loop) { answer($0, pages) }
            if listener.trouble != nil { log.notice("Metrics and probes are served now", metadata: fields) }
            listener.trouble = nil
        } catch {
            end(listener)
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
    }

    /// Of those that have been tried.
    private func tell() {
        whenChanged(
            listeners.filter { $0.server != nil || $0.trouble != nil }
                .map { ListenerHealth(address: $0.address, pages: $0.pages, trouble: $0.trouble) })
    }
}
