// The command line: runs a program beside a token: passes signals on, looks when the token is another one, tells the program.

private import AgentService
internal import ChildProcess
internal import Configuration
private import Crypto
internal import Diagnosis
private import Glibc
private import SystemCalls
private import Timekeeping

/// One program, and the token that it was given. For the main thread, which works on nothing else: the kernel kills the program
/// when the thread that started it ends.
final class TokenCompanion {
    /// What to do when the token is another one.
    enum Reaction {
        case none
        case signal(Int32)
        case restart(stop: Int32, killAfter: Duration)
    }

    private enum Phase {
        case running
        /// Told to stop, to be started again.
        case stopping(killAt: ContinuousClock.Instant)
        /// Killed, to be started again.
        case killed
    }

    private static let forwarded = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2]
    /// Between two looks that nothing has asked for: what the kernel does not tell (a dead agent, another file system).
    private static let pause: Duration = .seconds(10)

    private var running: RunningToken
    private let findAnew: () throws(AgentError) -> RunningToken?
    private let reaction: Reaction
    private let command: [String]
    private let environment: (String, TokenSettings) -> [String: String]
    private let clock = ContinuousClock()
    private var phase = Phase.running
    /// The token that the program has, or was told of.
    private var given = ""
    /// Somebody has told this process to end: nothing is started again.
    private var isEnding = false
    private var lastComplaint: String?
    private var nextLook: ContinuousClock.Instant

    /// `findingAnew`: by the configuration as it stands then; nil where it can be read but once, as from a pipe.
    init(
        _ running: RunningToken, findingAnew findAnew: @escaping () throws(AgentError) -> RunningToken?,
        reaction: Reaction, command: [String], environment: @escaping (String, TokenSettings) -> [String: String]
    ) {
        self.running = running
        self.findAnew = findAnew
        self.reaction = reaction
        self.command = command
        self.environment = environment
        nextLook = clock.now + Self.pause
    }

    /// Runs the program to its last end.
    func run(with token: String) throws(ForegroundChild.Failure) -> ForegroundChild.End {
        ProcessSignals.hold(Self.forwarded + [SIGCHLD])
        let (signals, changes): (HeldSignals, ChangeNotice)
        do throws(SystemFault) {
            signals = try HeldSignals(Self.forwarded + [SIGCHLD])
            changes = try ChangeNotice()
        } catch {
            throw .notRunnable(error.observed)
        }
        changes.watch(running.directories)
        var child = try start(with: token)
        while true {
            let isChanged = wait(for: signals, changes)
            while let signal = signals.next() { take(signal, child) }
            if let end = child.reap() {
                guard case .running = phase else {
                    if isEnding { return end }
                    phase = .running
                    // The one that made it stop may be old by now.
                    child = try start(with: (try? read()) ?? given)
                    continue
                }
                return end
            }
            if case .stopping(let killAt) = phase, clock.now >= killAt {
                complain("\(command[0]) does not stop; killing it")
                child.signal(SIGKILL)
                phase = .killed
            }
            if isChanged || clock.now >= nextLook { look(child) }
            // Directories come and go: each look watches those that are there.
            changes.watch(running.directories)
        }
    }

    private func start(with token: String) throws(ForegroundChild.Failure) -> ForegroundChild {
        given = token
        return try ForegroundChild(
            command, environment: environment(token, running.settings), mask: ProcessHardening.inheritedMask)
    }

    /// From where the configuration says now: a reload may have moved sinks, status and server. One that is not in force yet, or
    /// cannot be read, does not count.
    private func read() throws(AgentError) -> String {
        guard let now = try? findAnew() else { return try running.read(patience: .seconds(1)) }
        do throws(AgentError) {
            let token = try now.read(patience: .seconds(1))
            running = now
            return token
        } catch {
            guard let token = try? running.read(patience: .seconds(1)) else { throw error }
            return token
        }
    }

    /// Until a signal has come, something has changed (true), or something is due.
    private func wait(for signals: HeldSignals, _ changes: ChangeNotice) -> Bool {
        var due = nextLook
        if case .stopping(let killAt) = phase { due = min(due, killAt) }
        let milliseconds = max(.zero, due - clock.now).nanoseconds / 1_000_000 + 1
        var sources = [signals.number, changes.number].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        // SAFETY: the kernel writes to two structures, which outlive the call.
        _ = unsafe poll(&sources, 2, Int32(clamping: milliseconds))
        return changes.drain()
    }

    /// A terminal's key has reached the program already: it is in the same foreground.
    private func take(_ signal: HeldSignals.Signal, _ child: ForegroundChild) {
        guard signal.number != SIGCHLD else { return }
        if [SIGTERM, SIGINT, SIGQUIT].contains(signal.number) { isEnding = true }
        if !signal.isKernels { child.signal(signal.number) }
    }

    private func look(_ child: ForegroundChild) {
        let isDue = clock.now >= nextLook
        nextLook = clock.now + Self.pause
        do throws(AgentError) {
            let token = try read()
            if lastComplaint != nil { complain("\(running.name): there is a valid token again") }
            lastComplaint = nil
            if token != given, case .running = phase, !isEnding { react(to: token, child) }
        } catch {
            // What passes within one pause, such as a restart of the agent, is not worth a word.
            let reason = "\(error)"
            guard isDue, lastComplaint == nil else { return }
            lastComplaint = reason
            complain("\(running.name): \(reason). \(command[0]) goes on with the token that it has")
        }
    }

    private func react(to token: String, _ child: ForegroundChild) {
        switch reaction {
        case .none: given = token
        case .signal(let number):
            given = token
            child.signal(number)
        case .restart(let stop, let killAfter):
            phase = .stopping(killAt: clock.now + killAfter)
            child.signal(stop)
        }
    }

    private func complain(_ text: String) {
        writeToStandardError("vault-token-agent: \(printable(text, limit: 1_000))")
    }
}
