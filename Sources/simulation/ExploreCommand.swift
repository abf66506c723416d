// The simulation's command line: `explore`: every order of events around the core, to a depth.

import Glibc
import SimulatedWorld
import Timekeeping

enum ExploreCommand {
    static func main(_ arguments: ArraySlice<String>) {
        var (depth, limit) = (7, 400_000)
        var arguments = arguments
        while let name = arguments.popFirst() {
            guard let value = arguments.popFirst().flatMap({ Int($0) }), value > 0 else { Simulation.usage() }
            switch name {
            case "--depth": depth = value
            case "--situations": limit = value
            default: Simulation.usage()
            }
        }
        var isBroken = false
        for policy in 0..<4 {
            let started = ContinuousClock.now
            let outcome = Exploration(policy: policy).run(depth: depth, limit: limit)
            print(
                "policy \(policy): \(outcome.situations) situations, \(outcome.steps) steps, depth \(outcome.depth), "
                    + "\((ContinuousClock.now - started).text)")
            if let fault = outcome.fault {
                isBroken = true
                print("BROKEN \(fault)")
            }
        }
        exit(isBroken ? 1 : 0)
    }
}
