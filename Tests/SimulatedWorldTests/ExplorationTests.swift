// Every order of events around the core, to a small depth; `make explore` goes deeper.

import SimulatedWorld
import Testing

@Suite struct ExplorationTests {
    @Test(arguments: 0..<4)
    func noOrderOfEventsBreaksARule(policy: Int) {
        let outcome = Exploration(policy: policy).run(depth: 3, limit: 100_000)
        #expect(outcome.fault == nil)
        #expect(outcome.depth == 3 && outcome.situations > 200)
    }
}
