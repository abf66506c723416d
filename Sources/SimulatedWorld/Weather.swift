// SimulatedWorld: when each part of the world is at fault, and how.

import HTTPClient
import Timekeeping
import TokenLifecycle

/// A part of the world that is healthy, then at fault, then healthy again, until the safety phase ends.
struct Weather<Fault: CaseIterable & Sendable> {
    struct Episode {
        let begin: Instant
        let end: Instant
        let fault: Fault
    }

    private(set) var episodes: [Episode] = []
    private var next = 0

    /// Spells of health of `meanHealth` on average, spells of trouble of `meanTrouble`, all ended by `end`.
    init(
        from start: Instant, until end: Instant, meanHealth: Duration, meanTrouble: Duration, faults: [Fault],
        using generator: inout SeededGenerator
    ) {
        guard !faults.isEmpty else { return }
        var moment = start
        while true {
            moment = moment + generator.share(of: meanHealth, between: 0.05, and: 1.95)
            // Many short faults, few long ones.
            let scale = [0.02, 0.1, 0.3, 1, 3.5][Int.random(in: 0..<5, using: &generator)]
            let length = generator.share(of: meanTrouble, between: 0.5 * scale, and: scale)
            guard moment + length < end else { return }
            let fault = faults[Int.random(in: 0..<faults.count, using: &generator)]
            episodes.append(Episode(begin: moment, end: moment + length, fault: fault))
            moment = moment + length
        }
    }

    /// When the latest trouble that has begun by `now` ends or ended; nil: there was none.
    mutating func troubledUntil(at now: Instant) -> Instant? {
        if let episode = fault(at: now) { return episode.end }
        return next > 0 ? episodes[next - 1].end : nil
    }

    /// The fault of this moment; nil: healthy. Moments only move on.
    mutating func fault(at now: Instant) -> Episode? {
        while next < episodes.count, episodes[next].end <= now { next += 1 }
        guard next < episodes.count, episodes[next].begin <= now else { return nil }
        return episodes[next]
    }
}

/// What can be wrong with Vault, or with the way to it.
enum VaultFault: String, CaseIterable, Sendable {
    /// The connection is refused.
    case refuses
    /// Nothing comes back, and nothing arrived.
    case hangs
    /// The request is carried out, and the answer never comes.
    case losesAnswers
    /// Answers take seconds.
    case slow
    case sealed
    case internalError
    /// 429, most with Retry-After.
    case throttles
    case garbage
    case halfAnswers
    /// A reply that is JSON and holds nothing of use.
    case emptyAnswers
    /// Logins are refused: the role is gone.
    case roleMissing
    /// Vault cannot reach STS.
    case stsUnreachable
}

extension Weather.Episode {
    /// Whether it meets every request.
    var isWhole: Bool { begin.nanoseconds % 11 > 4 }

    /// Some faults meet every second request only, or only those of one kind; drawn from the episode's own beginning.
    func concerns(_ request: HTTPRequest, number: Int) -> Bool {
        let rank = RequestRank(path: request.url)
        return switch begin.nanoseconds % 11 {
        case 0, 1: number.isMultiple(of: 2)
        case 2: rank == .keep
        case 3: rank == .lookUp
        case 4: rank == .wrap || rank == .child
        default: true
        }
    }
}

enum MetadataFault: String, CaseIterable, Sendable {
    case refuses, hangs, garbage, unavailable, expiredCredentials, noRole
}

enum DiskFault: String, CaseIterable, Sendable {
    case full, unwritable, slow, hangs
}

/// What somebody does to the agent or its machine.
enum Deed: CaseIterable, Sendable {
    case kill, terminate, reload, reloadOften, logInNow, logInOften, disturbSink, revokeToken, stepClock, suspend,
        changeTTL
}
