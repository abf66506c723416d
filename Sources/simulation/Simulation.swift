// The simulation's command line: runs seeds, prints what broke, replays one seed as a readable trace.

import Dispatch
import Glibc
import SimulatedWorld
import Synchronization
import Timekeeping

@main struct Simulation {
    struct Totals {
        var next: UInt64
        var done = 0
        var failed: [(UInt64, Violation)] = []
        var isFound = false
        var requests = 0
        var hash: UInt64 = 0
    }

    static func main() {
        if CommandLine.arguments.dropFirst().first == "fleet" {
            FleetCommand.main(CommandLine.arguments.dropFirst(2))
            return
        }
        if CommandLine.arguments.dropFirst().first == "explore" {
            ExploreCommand.main(CommandLine.arguments.dropFirst(2))
            return
        }
        var seeds: UInt64 = 1_000
        var only: UInt64?
        var first: UInt64 = 1
        var sought: Promise?
        var arguments = CommandLine.arguments.dropFirst()
        while let name = arguments.popFirst() {
            guard let value = arguments.popFirst() else { usage() }
            switch (name, UInt64(value), Promise(rawValue: value)) {
            case ("--seeds", let number?, _): seeds = number
            case ("--seed", let number?, _): only = number
            case ("--first", let number?, _): first = number
            case ("--until", _, let promise?): sought = promise
            default: usage()
            }
        }
        if let only { replay(only) } else { runAll(from: first, count: seeds, until: sought) }
    }

    static func usage() -> Never {
        print(
            """
            usage: simulation [--seeds COUNT] [--first SEED] [--until PROMISE]
                   simulation --seed SEED
                   simulation explore [--depth EVENTS] [--situations COUNT]
                   simulation fleet [--agents COUNT] [--figure FILE] [--scenario NAME]
            """)
        exit(64)
    }

    static func replay(_ seed: UInt64) {
        let world = World(WorldOptions(seed: seed), readable: true)
        print(world.options.summary)
        world.run()
        for line in world.trace.lines { print(line) }
        print("trace hash \(String(world.trace.hash, radix: 16)), \(world.requests) requests")
        for violation in world.violations { print("BROKEN \(violation)") }
        exit(world.violations.isEmpty ? 0 : 1)
    }

    /// Begins no further seed once one has broken the promise that is sought.
    static func runAll(from first: UInt64, count: UInt64, until sought: Promise?) {
        let started = ContinuousClock.now
        let totals = Mutex(Totals(next: first))
        // Each thread has worlds of its own: a world lives on the thread that runs it.
        DispatchQueue.concurrentPerform(iterations: 2) { _ in
            while true {
                let seed: UInt64? = totals.withLock { totals in
                    guard totals.next < first + count, !totals.isFound else { return nil }
                    defer { totals.next += 1 }
                    return totals.next
                }
                guard let seed else { return }
                let world = World(WorldOptions(seed: seed))
                world.run()
                totals.withLock { totals in
                    totals.done += 1
                    totals.requests += world.requests
                    totals.hash &+= world.trace.hash &* (2 * seed + 1)
                    if let violation = world.violations.first {
                        totals.failed.append((seed, violation))
                        totals.isFound = totals.isFound || violation.promise == sought
                    }
                }
            }
        }
        let end = totals.withLock { $0 }
        for (seed, violation) in end.failed.sorted(by: { $0.0 < $1.0 }).prefix(40) {
            print("seed \(seed) broke a promise, \(violation)")
        }
        let seconds = (ContinuousClock.now - started).inSeconds
        print(
            "\(end.done) seeds of 7 simulated days, \(end.requests) requests to Vault, \(end.failed.count) broken, "
                + "\(Int(seconds.rounded())) s, hash \(String(end.hash, radix: 16))")
        exit(end.failed.isEmpty ? 0 : 1)
    }
}
