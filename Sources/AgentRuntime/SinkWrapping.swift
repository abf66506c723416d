// AgentRuntime: the wrapping tokens of sinks with `wrap_ttl`: which one stands there, until when, and when the next is due.

import Crypto
import Diagnosis
import Timekeeping
import TokenLifecycle
import TokenSinks

/// The wrapping token of one sink.
struct SinkWrapping {
    /// Asked of Vault.
    let ttl: Duration
    private var held: (token: Secret, wrapping: WrappedToken, expiry: Instant)?
    /// The sink holds the newest.
    private(set) var isWritten = false
    /// When what the sink holds expires; nil: it holds none.
    private(set) var expiry: Instant?
    /// When to make the next; nil while there is none to be replaced.
    private(set) var due: Instant?

    init(ttl: Duration) {
        self.ttl = ttl
    }

    /// The wrapping token that stands for `token`, while it has not expired. Used ones count too: nobody tells.
    func wrapping(for token: Secret, at now: Instant) -> WrappedToken? {
        guard let held, held.token == token, now < held.expiry else { return nil }
        return held.wrapping
    }

    /// Replaced when 50 % to 60 % of its time is over: whoever reads the sink has the rest to unwrap it.
    mutating func hold(
        _ wrapping: WrappedToken, for token: Secret, madeAt sentAt: Instant, using generator: inout SeededGenerator
    ) {
        held = (token, wrapping, sentAt + wrapping.timeToLive)
        isWritten = false
        due = sentAt + generator.share(of: wrapping.timeToLive, between: 0.5, and: 0.6)
    }

    /// The newest is in the sink now; until then readers find the one before it.
    mutating func written() {
        (isWritten, expiry) = (true, held?.expiry)
    }

    /// The next could not be made or written: tried again after a tenth of the time it would have had, at least 5 s and at most 30 s.
    mutating func failed(at now: Instant, using generator: inout SeededGenerator) {
        due = now + generator.share(of: min(max(ttl / 10, .seconds(5)), .seconds(30)), between: 0.8, and: 1)
    }

    mutating func forget() {
        (held, due, expiry, isWritten) = (nil, nil, nil, false)
    }
}

/// Keeps the sinks of one token from asking Vault too often, whatever happens to them.
struct WrappingBudget {
    /// With a login's own requests it stays below twenty a minute.
    private static let most = 12
    private static let window: Duration = .seconds(60)
    /// The latest requests, oldest first.
    private var starts: [Instant] = []

    /// The earliest moment for the next request.
    var earliest: Instant {
        starts.count < Self.most ? .distantPast : starts[0] + Self.window
    }

    mutating func take(at now: Instant) throws(AgentError) {
        guard now >= earliest else {
            throw AgentError(
                .vaultThrottled, "\(Self.most) wrapping tokens were made for the sinks of one token within a minute",
                remedy: "Raise wrap_ttl, or see what changes the token so often", retryAfter: earliest - now)
        }
        if starts.count == Self.most { starts.removeFirst() }
        starts.append(now)
    }
}
