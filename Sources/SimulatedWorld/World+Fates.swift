// SimulatedWorld: what becomes of each request and each write, in the weather of the moment.

import Diagnosis
import HTTPClient
import Timekeeping
import TokenLifecycle

extension World: SimulatedNetwork {
    private static let never: Duration = .seconds(86_400)

    /// Decides a request's fate when it is sent.
    func fate(of request: HTTPRequest) -> RequestFate {
        noteWeather()
        return request.url.hasPrefix("http://169.254.169.254") ? fateAtMetadata(request) : fateAtVault(request)
    }

    /// What something else answers with in Vault's place, and a reply that holds nothing: neither tells of a token.
    private static let strangersPage = "<html>It works!</html>"
    private static let emptyReply = "{}"

    func answered(_ request: HTTPRequest, status: Int, body: String) {
        if request.url.hasPrefix("http://127.0.0.1:8200"), status < 300, body != Self.strangersPage,
            body != Self.emptyReply, let lease = vault.told(request)
        {
            process?.leases[accountOf(request)] = lease
        }
        trace.note("answered", UInt64(status), "\(status)")
    }

    private func latency() -> Duration {
        .microseconds(Int64.random(in: 300...40_000, using: &generator))
    }

    private func failure(_ kind: HTTPFailure.Kind, _ what: String, after delay: Duration) -> RequestFate {
        RequestFate(
            delay: delay, outcome: .failure(HTTPFailure(kind, what, maybeSent: kind != .connectionRefused)))
    }

    private func answer(
        _ answer: (status: Int, body: String), retryAfter: Int? = nil, after delay: Duration
    ) -> RequestFate {
        RequestFate(delay: delay, outcome: .success((answer.status, answer.body, retryAfter)))
    }

    // MARK: Vault

    private func fateAtVault(_ request: HTTPRequest) -> RequestFate {
        requests += 1
        trace.note("asks Vault", UInt64(request.url.utf8.count), String(request.url.drop { $0 != "/" }.dropFirst(2)))
        noteRequest(request)
        if request.url.hasSuffix("/revoke-self") { request.text(of: "X-Vault-Token").map(noteRevocation) }
        vault.credentialsExpiry = metadata.keys
        let delay = latency()
        guard let episode = vaultWeather.fault(at: loop.now), episode.concerns(request, number: requests) else {
            return answer(vault.answer(request), after: delay)
        }
        trace.note("Vault", UInt64(episode.fault.rawValue.utf8.count), episode.fault.rawValue)
        let isLogin = request.url.hasSuffix("/login")
        if !isLogin, episode.fault != .roleMissing, episode.fault != .stsUnreachable {
            process?.unansweredAt = max(loop.now, process?.unansweredAt ?? loop.now)
        }
        switch episode.fault {
        case .refuses: return failure(.connectionRefused, "127.0.0.1:8200 refused the connection", after: delay)
        case .hangs: return failure(.replyTimedOut, "no answer", after: Self.never)
        case .losesAnswers:
            _ = vault.answer(request)
            return failure(.replyTimedOut, "no answer", after: Self.never)
        case .slow:
            return answer(vault.answer(request), after: generator.share(of: .seconds(8), between: 0.1, and: 1))
        case .sealed: return answer((503, #"{"errors":["Vault is sealed"]}"#), after: delay)
        case .internalError: return answer((500, #"{"errors":["internal error"]}"#), after: delay)
        case .throttles: return throttled(request, after: delay)
        case .garbage: return answer((200, Self.strangersPage), after: delay)
        case .halfAnswers: return failure(.connectionLost, "the connection ended", after: delay)
        case .emptyAnswers: return answer((200, Self.emptyReply), after: delay)
        case .roleMissing:
            guard isLogin else { return answer(vault.answer(request), after: delay) }
            // Retried gently: only people can mend it.
            trouble(until: episode.end + .seconds(60))
            return answer((400, #"{"errors":["entry for role \"app\" not found"]}"#), after: delay)
        case .stsUnreachable:
            guard isLogin else { return answer(vault.answer(request), after: delay) }
            return answer(
                (400, #"{"errors":["error making upstream request: error making request: i/o timeout"]}"#), after: delay
            )
        }
    }

    private func noteRequest(_ request: HTTPRequest) {
        guard let process else { return }
        let key = accountOf(request)
        if let token = request.text(of: "X-Vault-Token").flatMap({ vault.tokens[$0] }) {
            process.leases[key] = min(token.full ?? .seconds(86_400), process.leases[key] ?? .seconds(86_400))
        }
        let ends = disk.contents.values.compactMap { vault.tokens[$0]?.expiry }
        let left = ends.map { $0 - loop.now }.filter { $0 > .zero }.min()
        let lease = process.leases[key]
        let wrong = process.ledgers[key, default: RequestLedger()]
            .note(
                RequestRank(path: request.url), at: loop.now, lease: lease, left: left,
                // Of a token that reloads drop and add again several keepers are at work, the dropped ones to revoke theirs.
                isAlone: key != "second")
        if let wrong { violate(.neverAStorm, wrong) }
    }

    /// The configured token for which this is asked.
    private func accountOf(_ request: HTTPRequest) -> String {
        let line = request.text(of: "X-Vault-Token").flatMap(vault.line(of:)) ?? vault.line(ofLogin: request)
        return String(line.prefix { $0 != "/" })
    }

    private func throttled(_ request: HTTPRequest, after delay: Duration) -> RequestFate {
        let busy = (429, #"{"errors":["rate limit quota exceeded"]}"#)
        guard Int.random(in: 0..<5, using: &generator) > 0 else { return answer(busy, after: delay) }
        let seconds = Int.random(in: 1...120, using: &generator)
        // From the moment that the agent hears of it, which is later than this.
        process?.ledgers[accountOf(request), default: RequestLedger()]
            .askedForQuiet(RequestRank(path: request.url), until: loop.now + .seconds(seconds))
        trouble(until: loop.now + .seconds(seconds) * 1.5 + .seconds(1))
        process?.unansweredAt = loop.now + .seconds(seconds) * 1.5 + .seconds(1)
        return answer(busy, retryAfter: seconds, after: delay)
    }

    // MARK: Metadata

    private func fateAtMetadata(_ request: HTTPRequest) -> RequestFate {
        let delay = latency() / 10
        let fault = metadataWeather.fault(at: loop.now)?.fault
        trace.note("asks IMDS", UInt64(fault?.rawValue.utf8.count ?? 0), fault?.rawValue ?? "")
        switch fault {
        case .refuses: return failure(.connectionRefused, "169.254.169.254:80 refused the connection", after: delay)
        case .hangs: return failure(.connectTimedOut, "no answer", after: Self.never)
        case .garbage: return answer((200, "\u{1}\u{2}{{{"), after: delay)
        case .unavailable: return answer((503, ""), after: delay)
        case nil, .expiredCredentials, .noRole:
            return answer(
                metadata.answer(request, expired: fault == .expiredCredentials, hasRole: fault != .noRole), after: delay
            )
        }
    }

    // MARK: Disk

    /// Returns when the disk has done its work, all earlier work first.
    func waitForDisk() async throws(AgentError) {
        noteWeather()
        let episode = diskWeather.fault(at: loop.now)
        if let episode { trace.note("disk", UInt64(episode.fault.rawValue.utf8.count), episode.fault.rawValue) }
        let begin = max(loop.now, diskFreeAt)
        // Further apart than alarms are late, or a later work would overtake an earlier one.
        let apart = options.mostLateness
        switch episode?.fault {
        case .full: throw AgentError(.sinkFull, "no space left on /simulated")
        case .unwritable: throw AgentError(.sinkUnwritable, "/simulated is read-only")
        case nil: diskFreeAt = begin + .milliseconds(1) + apart
        case .slow: diskFreeAt = begin + generator.share(of: .seconds(5), between: 0, and: 1) + apart
        case .hangs: diskFreeAt = max(begin, episode?.end ?? begin) + apart
        }
        await loop.sleep(until: diskFreeAt)
    }

    /// Whether the state directory takes something, once it has done so or not. It stands on a disk of its own, with faults of its
    /// own; no promise but that of a restart waits for their end.
    func stateDirectoryTakes() async -> Bool {
        let episode = stateWeather.fault(at: loop.now)
        let begin = max(loop.now, stateFreeAt)
        switch episode?.fault {
        case .full, .unwritable: return false
        case nil: stateFreeAt = begin + .milliseconds(1)
        case .slow: stateFreeAt = begin + stateGenerator.share(of: .seconds(5), between: 0, and: 1)
        case .hangs: stateFreeAt = max(begin, episode?.end ?? begin)
        }
        await loop.sleep(until: stateFreeAt)
        return !losesRecords
    }
}
