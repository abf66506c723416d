// SimulatedWorld: a fleet of agents and one Vault. This file: the situations that it is put into.

import Timekeeping

/// One situation. Moments count from the scenario's begin.
package struct FleetScenario: Sendable {
    package let name: String
    /// What happens, for the figure.
    package let story: String
    /// All agents start within so long from the begin, each at a moment of its own.
    package var startsWithin: Duration
    /// Vault refuses connections from then on, for so long; nil: never.
    package var outage: (from: Duration, lasting: Duration)?
    /// Requests that Vault answers in each second; 429 above. Nil: it answers all.
    package var capacity: Int?
    /// Seconds of the `Retry-After` that comes with a 429: one, as Vault's rate limit quotas send it; nil: none comes.
    package var retryAfter: Int? = 1
    /// Where the figure begins: what was before is warming up.
    package var shownFrom: Duration
    package var duration: Duration
    /// What the role gives, to every agent.
    package var lease: Duration = .seconds(3_600)
    package var maximum: Duration = .seconds(24 * 3_600)

    /// From when on the fleet is judged: the end of the outage, or else the begin.
    package var judgedFrom: Duration {
        outage.map { $0.from + $0.lasting } ?? .zero
    }

    package static let all = [
        coldStart, coldStartAtCapacity, coldStartUntold, shortOutage, longOutage, longOutageAtCapacity,
    ]

    /// A fleet that starts as one.
    package static let coldStart = FleetScenario(
        name: "cold start", story: "all start within a second", startsWithin: .seconds(1), shownFrom: .zero,
        duration: .seconds(5_400))

    package static let coldStartAtCapacity = FleetScenario(
        name: "cold start, 200/s", story: "all start within a second; Vault serves 200 a second, 429 above",
        startsWithin: .seconds(1), capacity: 200, shownFrom: .zero, duration: .seconds(5_400))

    package static let coldStartUntold = FleetScenario(
        name: "cold start, 200/s, untold", story: "the same, and the 429 names no time",
        startsWithin: .seconds(1), capacity: 200, retryAfter: nil, shownFrom: .zero, duration: .seconds(5_400))

    /// Every lease outlives it, some renewals do not come to pass.
    package static let shortOutage = FleetScenario(
        name: "outage of 10 min", story: "10 minutes of refused connections", startsWithin: .seconds(3_600),
        outage: (.seconds(7_200), .seconds(600)), shownFrom: .seconds(6_900), duration: .seconds(10_800))

    /// Every token is dead at its end.
    package static let longOutage = FleetScenario(
        name: "outage of 2 h", story: "2 hours of refused connections, past every lease",
        startsWithin: .seconds(3_600), outage: (.seconds(5_400), .seconds(7_200)), shownFrom: .seconds(5_100),
        duration: .seconds(16_200))

    package static let longOutageAtCapacity = FleetScenario(
        name: "outage of 2 h, 200/s", story: "the same, and Vault serves 200 a second, 429 above",
        startsWithin: .seconds(3_600), outage: (.seconds(5_400), .seconds(7_200)), capacity: 200,
        shownFrom: .seconds(5_100), duration: .seconds(16_200))
}
