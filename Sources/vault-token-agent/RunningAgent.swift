// The command line: the running agent, told something by a signal, and what comes of it by its status file.

internal import ArgumentParser
private import CLinux
internal import Diagnosis
private import Glibc
internal import ServiceHealth
private import SystemCalls
internal import Timekeeping

struct RunningAgent: ParsableArguments {
    @Option(
        help: ArgumentHelp("The agent's process, where its status file tells another namespace's.", valueName: "pid"))
    var pid: Int32?

    @Option(
        help: ArgumentHelp("How long to wait for the running agent: 30s, 2m.", valueName: "duration"),
        transform: positiveDuration)
    var timeout: Duration = .seconds(90)

    /// Sends the signal to the agent that wrote `before` to the status file at `path`, and looks there for the outcome; nil: none
    /// within ``timeout``. Throws `commandFailed` where the agent cannot be told or ends meanwhile.
    func outcome<Outcome>(
        of signal: Int32, _ before: StatusDocument, at path: String, _ outcome: (StatusDocument) -> Outcome?
    ) throws(AgentError) -> Outcome? {
        try Self.send(signal, to: pid ?? Int32(clamping: before.pid))
        let deadline = ContinuousClock.now + timeout
        while ContinuousClock.now < deadline {
            usleep(50_000)
            guard let now = try? StatusReading(path: path) else { continue }
            guard now.document.pid == before.pid, now.document.startedAt == before.startedAt, now.isHeld != false else {
                throw AgentError(.commandFailed, "the agent ended meanwhile", remedy: "See its log, and do it again")
            }
            if let outcome = outcome(now.document) { return outcome }
        }
        return nil
    }

    private static func send(_ signal: Int32, to process: Int32) throws(AgentError) {
        do throws(SystemFault) {
            // The descriptor stands for the process, even if its number is used again.
            let handle = try Descriptor(vta_pidfd_open(process), "opening process", "\(process)")
            guard vta_pidfd_send_signal(handle.number, signal) == 0 else {
                throw SystemFault("signalling process", "\(process)")
            }
        } catch {
            throw AgentError(
                .commandFailed, error.observed,
                remedy: error.number == EPERM
                    ? "Do it as the agent's user or as root"
                    : "The agent may be in another container: there it has another number, which --pid takes")
        }
    }
}

/// A duration of an option.
func duration(_ text: String) throws -> Duration {
    guard let duration = Duration(text: text) else {
        throw ValidationError("\"\(text)\" is no duration such as 30s or 5m.")
    }
    return duration
}

func positiveDuration(_ text: String) throws -> Duration {
    let duration = try duration(text)
    guard duration > .zero else { throw ValidationError("\"\(text)\" is no time to wait.") }
    return duration
}
