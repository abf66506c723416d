// AgentRuntime: what this machine is not ready for at a start is looked at again until it is. Other tokens do not wait for it.

import Configuration
import Diagnosis
import Logging
import ServiceHealth
import Timekeeping

extension Agent {
    /// Tells what is awaited, and plans the next look.
    func lookAgain() {
        guard !awaited.isEmpty else { return }
        awaited.tell(surroundings.log)
        let (pause, generation) = (awaited.pause, awaited.generation)
        awaited.nextLook = loop.wallTime + pause
        report()
        _ = loop.schedule(at: loop.now + pause) { [weak self] in
            self?.assumeIsolated { agent in
                let loop = agent.loop
                Task(executorPreference: loop) { [weak agent] in await agent?.takeUpAwaited(generation) }
            }
        }
    }

    /// Those whose machine is ready by now. The others are not touched: theirs goes on as it was.
    private func takeUpAwaited(_ generation: UInt64) async {
        await turns.take()
        defer { passTurn() }
        var prepared: [Prepared] = []
        for each in awaited.all where awaited.generation == generation {
            do throws(AgentError) {
                let new = try await prepare(each.settings, isReload: false)
                let others = keepersOnDuty.flatMap { $1.inForce?.sinks ?? [] } + prepared.flatMap(\.preparation.sinks)
                try await refuseTwins(among: others + new.preparation.sinks, besides: namesakes)
                prepared.append(new)
            } catch {
                // From the first look on it would be so after a restart as well.
                if error.code == .groupsOutdated, each.trouble?.error.code != .groupsOutdated { whenOutdated(error) }
                awaited.insert(each.failed(error, each.settings, at: loop.wallTime))
            }
        }
        // Whoever was in turn before may have put another configuration in force, or ended all.
        guard !isStopping, awaited.generation == generation, !awaited.isEmpty else { return }
        for each in prepared {
            surroundings.log.notice("This machine is ready for the token", metadata: ["token": "\(each.keeper.name)"])
            awaited.remove(each.keeper.name)
        }
        takeUp(prepared, former: handOver(to: prepared))
        lookAgain()
    }

    /// In the configuration's order.
    func healthBesideAwaited(of tokens: (RunningKeeper) -> [TokenHealth]) -> [TokenHealth] {
        let ids = byName(order)
        return configured.flatMap { settings in
            ids[settings.name].flatMap { running[$0].map(tokens) }
                ?? awaited.health(of: settings.name, since: startedAt).map { [$0] } ?? []
        }
    }
}
