// AgentRuntime: tokens of the configuration that this machine is not ready for: a group that its name service does not know yet,
// a directory that is made or mounted late.

import Configuration
import Diagnosis
import Logging
import ServiceHealth
import Timekeeping
import TokenLifecycle
import TokenSinks

package struct AwaitedTokens {
    struct Each {
        let settings: TokenSettings
        /// Nil: nobody has looked yet.
        var trouble: Trouble?

        init(settings: TokenSettings) {
            self.settings = settings
        }

        /// The same, after another look in vain.
        func failed(_ error: AgentError, _ settings: TokenSettings, at now: WallTime) -> Each {
            var each = Each(settings: settings)
            each.trouble = Trouble(error: error, since: trouble?.since ?? now, attempts: (trouble?.attempts ?? 0) + 1)
            return each
        }
    }

    /// A look costs a lookup of names and a file in each sink's directory.
    private static let longestPause: Duration = .seconds(10)

    private(set) var all: [Each] = []
    /// Another one for each set of them that a start, a reload or a logout makes.
    let generation: UInt64
    var nextLook: WallTime?

    init(generation: UInt64, _ all: [Each] = []) {
        self.generation = generation
        self.all = all
    }

    var isEmpty: Bool { all.isEmpty }

    subscript(name: String) -> Each? {
        all.first { $0.settings.name == name }
    }

    /// In the place of the one of that name, else at the end.
    mutating func insert(_ each: Each) {
        if let index = all.firstIndex(where: { $0.settings.name == each.settings.name }) {
            all[index] = each
        } else {
            all.append(each)
        }
    }

    mutating func remove(_ name: String) {
        all.removeAll { $0.settings.name == name }
    }

    /// From the last look to the next.
    var pause: Duration { Self.pause(after: all.compactMap(\.trouble?.attempts).min() ?? 1) }

    /// After so many looks in vain: 1 s, doubled up to ``longestPause``.
    package static func pause(after attempts: Int) -> Duration {
        min(.seconds(1) * (1 << min(max(0, attempts - 1), 10)), longestPause)
    }

    /// Which of the looks in vain are told: the 1st, 2nd, 4th, 8th.
    package static func tells(ofLook attempts: Int) -> Bool { attempts & (attempts - 1) == 0 }

    func tell(_ log: Logger) {
        for each in all {
            guard let trouble = each.trouble, Self.tells(ofLook: trouble.attempts) else { continue }
            log.error(
                "This machine is not ready for the token", error: trouble.error,
                metadata: ["token": "\(each.settings.name)", "attempts": "\(trouble.attempts)"])
        }
    }

    func health(of name: String, since start: WallTime) -> TokenHealth? {
        guard let each = self[name] else { return nil }
        var health = TokenHealth(
            name: name, phase: .starting, since: start,
            sinks: each.settings.sinks.map { SinkHealth(name: $0.place.name, delivered: false) })
        (health.trouble, health.awaitsMachine) = (each.trouble, each.trouble != nil)
        if each.trouble != nil { (health.nextStep, health.nextAt) = (.logIn, nextLook) }
        return health
    }
}
