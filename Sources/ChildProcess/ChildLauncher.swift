// ChildProcess: from a command to a running child with its pipes.

internal import CLinux
internal import Crypto
package import Diagnosis
internal import Dispatch
package import EventLoop
internal import FileSystem
internal import Glibc
internal import SystemCalls

/// Starts children and sees them through to their end.
package struct ChildLauncher: Sendable {
    private let loop: EventLoop
    /// Starting a program waits for the disk it is on.
    private let queue = BlockingQueue(name: "children")

    package init(loop: EventLoop) {
        self.loop = loop
    }

    /// Runs a command to its end, whatever its exit status. Cancelling the task stops the child.
    ///
    /// Throws `commandFailed` where it cannot be started or ran too long, `cancelled` where it was called off.
    package func run(_ command: ChildCommand) async throws(AgentError) -> ChildOutcome {
        let started = try await queue.run { () throws(AgentError) in try StartedChild(command) }
        let run = ChildRun(started, command, on: loop)
        return try await withTaskCancellationHandler {
            await run.outcome()
        } onCancel: {
            loop.queue.async { run.assumeIsolated { $0.callOff() } }
        }.get()
    }
}

/// A child that runs, and what the agent holds of it.
struct StartedChild: Sendable {
    let process: pid_t
    /// Readable once the child has ended.
    let ending: CarriedDescriptor
    let output: CarriedDescriptor
    let error: CarriedDescriptor

    init(_ command: ChildCommand) throws(AgentError) {
        guard !command.arguments.isEmpty, !command.arguments.contains(where: { $0.utf8.contains(0) }) else {
            throw AgentError(.commandFailed, "a command is empty or holds a NUL character")
        }
        do throws(SystemFault) {
            let output = try Pipe()
            let error = try Pipe()
            process = try OwnChildren.starting { () throws(SystemFault) in
                try Self.spawn(command, output: output.writeEnd, error: error.writeEnd)
            }
            RunningChildren.started(process, tied: command.diesWithAgent)
            ending = CarriedDescriptor(try Self.ending(of: process))
            self.output = CarriedDescriptor(output.takeReadEnd())
            self.error = CarriedDescriptor(error.takeReadEnd())
        } catch {
            throw command.cannotStart(error)
        }
    }

    /// Kills and reaps the child where its end cannot be watched.
    private static func ending(of process: pid_t) throws(SystemFault) -> Descriptor {
        do throws(SystemFault) {
            return try Descriptor(vta_pidfd_open(process), "pidfd_open", "(child)")
        } catch {
            kill(-process, SIGKILL)
            RunningChildren.ended(process)
            _ = waitpid(process, nil, 0)
            OwnChildren.reaped(process)
            throw error
        }
    }

    private static func check(_ call: String, _ number: Int32) throws(SystemFault) {
        guard number == 0 else { throw SystemFault(call, "(child)", number: number) }
    }

    private static func spawn(
        _ command: ChildCommand, output: borrowing Descriptor, error: borrowing Descriptor
    ) throws(SystemFault) -> pid_t {
        if command.diesWithAgent { return try spawnTied(command, output: output, error: error) }
        return try spawnFree(command, output: output, error: error)
    }

    /// As ``spawnFree(_:output:error:)``, and the kernel kills it when this process ends.
    private static func spawnTied(
        _ command: ChildCommand, output: borrowing Descriptor, error: borrowing Descriptor
    ) throws(SystemFault) -> pid_t {
        let (outputNumber, errorNumber) = (output.number, error.number)
        var process: pid_t = 0
        let number = unsafe withCStrings(command.arguments) { arguments in
            unsafe withCStrings(command.variables) { environment in
                unsafe vta_spawn_tied(&process, arguments, environment, outputNumber, errorNumber)
            }
        }
        try check("posix_spawn", number)
        return process
    }

    /// The child has an empty signal mask, default dispositions, a process group of its own, no input, and no descriptor
    /// but its three.
    private static func spawnFree(
        _ command: ChildCommand, output: borrowing Descriptor, error: borrowing Descriptor
    ) throws(SystemFault) -> pid_t {
        var actions = unsafe posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        var signals = sigset_t()
        var process: pid_t = 0
        // SAFETY: both objects are initialised before use and destroyed after it; the C library copies what it is given.
        unsafe posix_spawn_file_actions_init(&actions)
        unsafe posix_spawnattr_init(&attributes)
        defer {
            unsafe posix_spawn_file_actions_destroy(&actions)
            unsafe posix_spawnattr_destroy(&attributes)
        }
        try check(
            "posix_spawn_file_actions_addopen",
            unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0))
        try check(
            "posix_spawn_file_actions_adddup2", unsafe posix_spawn_file_actions_adddup2(&actions, output.number, 1))
        try check(
            "posix_spawn_file_actions_adddup2", unsafe posix_spawn_file_actions_adddup2(&actions, error.number, 2))
        try check(
            "posix_spawn_file_actions_addclosefrom_np", unsafe posix_spawn_file_actions_addclosefrom_np(&actions, 3))
        unsafe sigemptyset(&signals)
        try check("posix_spawnattr_setsigmask", unsafe posix_spawnattr_setsigmask(&attributes, &signals))
        unsafe sigfillset(&signals)
        try check("posix_spawnattr_setsigdefault", unsafe posix_spawnattr_setsigdefault(&attributes, &signals))
        try check("posix_spawnattr_setpgroup", unsafe posix_spawnattr_setpgroup(&attributes, 0))
        let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP
        try check("posix_spawnattr_setflags", unsafe posix_spawnattr_setflags(&attributes, Int16(flags)))
        let number = unsafe withCStrings(command.arguments) { arguments in
            unsafe withCStrings(command.variables) { environment in
                guard let program = unsafe arguments[0] else { return EINVAL }
                return unsafe posix_spawnp(&process, program, &actions, &attributes, arguments, environment)
            }
        }
        try check("posix_spawn", number)
        return process
    }
}

/// A pipe of which children inherit neither end, and whose reading does not block.
private struct Pipe: ~Copyable {
    private let readEnd: Descriptor
    let writeEnd: Descriptor

    init() throws(SystemFault) {
        var ends: [Int32] = [-1, -1]
        // SAFETY: the kernel writes two numbers into an array of two.
        let result = unsafe vta_pipe(&ends)
        let first = try Descriptor(result < 0 ? result : ends[0], "pipe2", "(child)")
        let second = try Descriptor(ends[1], "pipe2", "(child)")
        guard vta_never_wait(first.number) == 0 else { throw SystemFault("fcntl", "(child)") }
        readEnd = first
        writeEnd = second
    }

    /// Closes the other end.
    consuming func takeReadEnd() -> Descriptor {
        readEnd
    }
}

extension ChildCommand {
    /// The environment as the C library has it.
    fileprivate var variables: [String] {
        environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    }

    /// The error where the child could not be started, or not be watched.
    func cannotStart(_ fault: SystemFault) -> AgentError {
        let remedy =
            switch (fault.call, fault.number) {
            case ("pidfd_open", ENOSYS): "Use Linux 5.3 or newer"
            case ("posix_spawn", _) where !fault.isOfLimits:
                "Check the path, the execute permission and the interpreter"
            default: fault.limitRemedy
            }
        return AgentError(
            .commandFailed, "\(program) cannot be started: \(fault.call): \(fault.words)", remedy: remedy)
    }
}

/// Lends a NULL-terminated array of C strings.
func withCStrings<Result>(
    _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
) -> Result {
    // SAFETY: the copies live until the body has returned.
    var copies: [UnsafeMutablePointer<CChar>?] = unsafe strings.map { unsafe strdup($0) }
    unsafe copies.append(nil)
    defer { unsafe copies.forEach { unsafe free($0) } }
    return unsafe body(copies)
}
