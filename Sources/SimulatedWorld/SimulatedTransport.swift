// SimulatedWorld: carries an agent's requests to the models, as well or as badly as the weather allows.

import Crypto
import Diagnosis
import HTTPClient
import Timekeeping

/// What becomes of one request.
struct RequestFate {
    /// From sending to the reply's last byte.
    var delay: Duration
    var outcome: Result<(status: Int, body: String, retryAfter: Int?), HTTPFailure>
}

/// Decides what becomes of an agent's requests. Lives as long as the agents that it serves.
protocol SimulatedNetwork: AnyObject {
    /// The fate of a request that is sent now.
    func fate(of request: HTTPRequest) -> RequestFate

    /// The reply to this request reaches the agent now.
    func answered(_ request: HTTPRequest, status: Int, body: String)
}

/// One agent's network. Ends with its process: afterwards nothing it sends arrives.
final class SimulatedTransport: HTTPTransport, @unchecked Sendable {
    private let loop: SimulatedLoop
    private let network: any SimulatedNetwork
    var isAlive = true

    init(loop: SimulatedLoop, network: any SimulatedNetwork) {
        self.loop = loop
        self.network = network
    }

    func send(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPReply {
        guard isAlive else { throw HTTPFailure(.cancelled, "the process has ended", maybeSent: false) }
        let sentAt = loop.now
        let fate = network.fate(of: request)
        await loop.sleep(until: sentAt + min(fate.delay, request.totalTimeout))
        guard isAlive, !Task.isCancelled else { throw HTTPFailure(.cancelled, "called off", maybeSent: true) }
        // A machine that slept through the time-out finds its answer lost as well.
        guard fate.delay < request.totalTimeout, loop.now - sentAt < request.totalTimeout else {
            throw HTTPFailure(.replyTimedOut, "no answer within \(request.totalTimeout.text)", maybeSent: true)
        }
        switch fate.outcome {
        case .failure(let failure): throw failure
        case .success(let answer):
            network.answered(request, status: answer.status, body: answer.body)
            var headers: [(name: String, value: String)] = [(name: "date", value: loop.trueTime.httpDate)]
            if let seconds = answer.retryAfter { headers.append((name: "retry-after", value: "\(seconds)")) }
            return HTTPReply(status: answer.status, headers: headers, body: Secret(text: answer.body), sentAt: sentAt)
        }
    }
}

extension WallTime {
    /// `Sat, 21 Nov 2026 09:10:00 GMT`; the day's name is not read by anybody and always the same here.
    fileprivate var httpDate: String {
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let text = rfc3339
        let parts = text.prefix(10).split(separator: "-")
        return "Mon, \(parts[2]) \(months[(Int(parts[1]) ?? 1) - 1]) \(parts[0]) \(text.dropFirst(11).prefix(8)) GMT"
    }
}
