// The simulation's command line: a fleet in every scenario, ours beside Vault Agent's, as a table and a drawing.

import Dispatch
import Glibc
import SimulatedWorld
import Synchronization
import SystemCalls
import Timekeeping

enum FleetCommand {
    static func main(_ arguments: ArraySlice<String>) {
        var agents = 10_000
        var figure: String?
        var scenarios = FleetScenario.all
        var arguments = arguments
        while let name = arguments.popFirst() {
            guard let value = arguments.popFirst() else { Simulation.usage() }
            switch (name, Int(value)) {
            case ("--agents", let count?) where count > 0: agents = count
            case ("--figure", _): figure = value
            case ("--scenario", _): scenarios = scenarios.filter { $0.name == value }
            default: Simulation.usage()
            }
        }
        guard !scenarios.isEmpty else {
            print("scenarios: " + FleetScenario.all.map { "\"\($0.name)\"" }.joined(separator: ", "))
            exit(64)
        }
        let drawing = FleetFigure(run(scenarios, agents: agents))
        print("\n" + drawing.table)
        if let figure, !write(drawing.svg, to: figure) {
            print("\(figure) cannot be written: \(errorText(errno))")
            exit(1)
        }
    }

    /// The scenarios with all kinds, two at a time; each lives on the thread that runs it.
    private static func run(_ scenarios: [FleetScenario], agents: Int) -> [FleetFigure.Row] {
        let jobs = scenarios.flatMap { scenario in FleetKind.allCases.map { (scenario, $0) } }
        let state = Mutex((next: 0, records: [Int: FleetRecord]()))
        DispatchQueue.concurrentPerform(iterations: 2) { _ in
            while true {
                let number = state.withLock { state in
                    defer { state.next += 1 }
                    return state.next
                }
                guard number < jobs.count else { return }
                let (scenario, kind) = jobs[number]
                let started = ContinuousClock.now
                let record = FleetRun(kind, in: scenario, agents: agents, seed: UInt64(number + 1)).run()
                print("\(agents) agents, \(scenario.name), \(kind.rawValue): \((ContinuousClock.now - started).text)")
                state.withLock { $0.records[number] = record }
            }
        }
        let records = state.withLock { $0.records }
        return scenarios.enumerated().map { index, scenario in
            let kinds = FleetKind.allCases.indices
            return (scenario, kinds.compactMap { records[index * kinds.count + $0] })
        }
    }

    private static func write(_ text: String, to path: String) -> Bool {
        guard let file = unsafe fopen(path, "w") else { return false }
        let written = unsafe fputs(text, file) >= 0
        return unsafe fclose(file) == 0 && written
    }
}
