// AgentRuntime: operations that must not come between each other's steps, in the order in which they were asked for.

/// Lets one go on at a time. Belongs to an actor, on which all of its methods run.
final class Turns {
    private(set) var isTaken = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    /// Returns once it is the caller's turn. ``pass()`` ends it.
    func take() async {
        guard isTaken else {
            isTaken = true
            return
        }
        await withCheckedContinuation { waiting.append($0) }
    }

    func pass() {
        if waiting.isEmpty { isTaken = false } else { waiting.removeFirst().resume() }
    }
}
