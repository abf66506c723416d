// Stand-ins for what a test cannot have for real: AWS's side of the wire, the passing of hours, the reader of the log.

import Crypto
import Diagnosis
import HTTPClient
import Synchronization
import Timekeeping

/// A wire that was written down beforehand: each request must be the next one expected, and gets the reply that goes with it.
final class ScriptedTransport: HTTPTransport {
    struct Exchange: Sendable {
        var request: String
        var reply: Result<HTTPReply, HTTPFailure>
    }

    private struct State {
        var exchanges: [Exchange] = []
        var complaints: [String] = []
    }

    private let state = Mutex(State())
    private let time: VirtualTime

    init(time: VirtualTime) {
        self.time = time
    }

    func expect(_ exchanges: [Exchange]) {
        state.withLock { $0.exchanges = exchanges }
    }

    /// What was not as written, and what was never asked for.
    func finish() -> [String] {
        state.withLock { state in
            defer { state = State() }
            return state.complaints + state.exchanges.map { "never asked for:\n\($0.request)" }
        }
    }

    func send(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPReply {
        let actual = request.transcript
        let reply: Result<HTTPReply, HTTPFailure> = state.withLock { state in
            guard !state.exchanges.isEmpty else {
                state.complaints.append("not expected:\n\(actual)")
                return .failure(
                    HTTPFailure(.connectionRefused, "nothing is written for this request", maybeSent: false))
            }
            let exchange = state.exchanges.removeFirst()
            if exchange.request != actual {
                state.complaints.append("expected:\n\(exchange.request)\nbut was:\n\(actual)")
            }
            return exchange.reply
        }
        let written = try reply.get()
        return HTTPReply(status: written.status, headers: written.headers, body: written.body, sentAt: time.now)
    }
}

extension HTTPRequest {
    /// Everything about it but its time-outs, in one order: what a case's `request` says.
    var transcript: String {
        var lines = ["\(method.rawValue) \(url)"]
        switch route.proxy {
        case .direct: break
        case .url(let url, let exceptions): lines.append("by proxy \(url) except \(exceptions)")
        case .always(let url): lines.append("by proxy \(url)")
        }
        if let file = route.tls.caFile { lines.append("trusting \(file)") }
        lines += headers.map { "\($0.name.lowercased()): \($0.text)" }.sorted()
        return (lines + ["", body?.text ?? ""]).joined(separator: "\n")
    }
}

/// Time that passes only when somebody waits, and then at once.
final class VirtualTime: Timekeeper {
    private struct State {
        var boot = Instant(nanoseconds: 1_000_000_000_000)
        var wall: WallTime
    }

    private let state: Mutex<State>

    init(wall: WallTime) {
        state = Mutex(State(wall: wall))
    }

    var now: Instant { state.withLock { $0.boot } }
    var wallTime: WallTime { state.withLock { $0.wall } }

    func pass(_ duration: Duration) {
        state.withLock { state in
            state.boot = state.boot + duration
            state.wall = state.wall + duration
        }
    }

    /// The clock on the wall is put right, or wrong.
    func step(_ duration: Duration) {
        state.withLock { $0.wall = $0.wall + duration }
    }

    func schedule(at moment: Instant, _ body: @escaping @Sendable () -> Void) -> Alarm {
        let left = moment - now
        if left > .zero { pass(left) }
        body()
        return Alarm(identifier: 1)
    }

    func cancel(_ alarm: Alarm) {}
}
