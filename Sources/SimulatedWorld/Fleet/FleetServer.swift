// SimulatedWorld: the one Vault of a fleet, as seen from outside: out of reach, overloaded, or at work.

import Timekeeping
import TokenLifecycle

/// Admits requests and counts them.
final class FleetServer {
    enum Admission {
        case refused
        /// 429, to be tried again after so many seconds; nil: it does not say.
        case throttled(retryAfter: Int?)
        case served
    }

    let scenario: FleetScenario
    private let loop: SimulatedLoop
    private let start: Instant
    /// Requests sent in each second since the begin, whatever became of them.
    private(set) var arrivals: [Int]
    /// Those that were answered with 429.
    private(set) var throttled: [Int]
    private var servedInSecond = (second: -1, count: 0)
    private var generator: SeededGenerator

    init(scenario: FleetScenario, loop: SimulatedLoop, seed: UInt64) {
        self.scenario = scenario
        self.loop = loop
        start = loop.now
        arrivals = Array(repeating: 0, count: Int(scenario.duration.components.seconds) + 1)
        throttled = arrivals
        generator = SeededGenerator(seed: seed)
    }

    /// A request arrives now.
    func admit() -> Admission {
        let elapsed = loop.now - start
        let second = Int(elapsed.components.seconds)
        if second < arrivals.count { arrivals[second] += 1 }
        if let outage = scenario.outage, elapsed >= outage.from, elapsed < outage.from + outage.lasting {
            return .refused
        }
        guard let capacity = scenario.capacity else { return .served }
        if servedInSecond.second != second { servedInSecond = (second, 0) }
        guard servedInSecond.count < capacity else {
            if second < throttled.count { throttled[second] += 1 }
            return .throttled(retryAfter: scenario.retryAfter)
        }
        servedInSecond.count += 1
        return .served
    }

    /// From sending a request to its answer.
    func latency() -> Duration {
        .microseconds(Int64.random(in: 1_000...20_000, using: &generator))
    }
}
