// ChildProcess: from a command to a running child with its pipes.

internal import CLinux
internal import Crypto
package import Diagnosis
internal import Dispatch
package import EventLoop
internal import Glibc

/// Starts children and sees them through to their end.
package struct ChildLauncher: Sendable {
    private let loop: EventLoop
    /// Starting a program waits for the disk it is on.
    private let queue = DispatchQueue(label: "vault-token-agent.children")

    package init(loop: EventLoop) {
        self.loop = loop
    }

    /// Runs a command to its end, whatever its exit status. Cancelling the task stops the child.
    ///
    /// Throws `commandFailed` where it cannot be started or ran too long, `cancelled` where it was called off.
    package func run(_ command: ChildCommand) async throws(AgentError) -> ChildOutcome {
        let started: Result<StartedChild, AgentError> = await withCheckedContinuation { continuation in
            queue.async {
                continuation.resume(returning: Result { () throws(AgentError) in try StartedChild(command) })
            }
        }
        let run = ChildRun(try started.get(), command, on: loop)
        return try await withTaskCancellationHandler {
            await run.outcome()
        } onCancel: {
            loop.queue.async { run.assumeIsolated { $0.callOff() } }
        }.get()
    }
}

/// A child that runs, and what the agent holds of it: descriptors to be closed by ``close()``.
struct StartedChild: Sendable {
    let process: pid_t
    /// Readable once the child has ended.
    let ending: Int32
    let output: Int32
    let error: Int32

    init(_ command: ChildCommand) throws(AgentError) {
        guard !command.arguments.isEmpty, !command.arguments.contains(where: { $0.utf8.contains(0) }) else {
            throw AgentError(.commandFailed, "a command is empty or holds a NUL character")
        }
        let output = try Pipe(command)
        let error = try Pipe(command)
        let process: pid_t
        do throws(StartFault) {
            process = try Self.spawn(command, output: output.writeEnd, error: error.writeEnd)
        } catch {
            // SAFETY: strerror returns a static or thread-local string that ends with NUL.
            let words = unsafe String(cString: strerror(error.number))
            throw AgentError(
                .commandFailed, "\(command.program) cannot be started: \(words)",
                remedy: "Check the path, the execute permission and the interpreter")
        }
        let ending = vta_pidfd_open(process)
        guard ending >= 0 else {
            let number = errno
            kill(-process, SIGKILL)
            // SAFETY: no status is asked for.
            _ = waitpid(process, nil, 0)
            throw AgentError(
                .commandFailed, "the end of \(command.program) cannot be watched (errno \(number))",
                remedy: number == ENOSYS ? "Use Linux 5.3 or newer" : "Raise LimitNOFILE")
        }
        self.process = process
        self.ending = ending
        self.output = output.takeReadEnd()
        self.error = error.takeReadEnd()
    }

    /// An error number of the C library.
    private struct StartFault: Error {
        let number: Int32

        static func check(_ number: Int32) throws(StartFault) {
            guard number == 0 else { throw StartFault(number: number) }
        }
    }

    /// The child has an empty signal mask, default dispositions, a process group of its own, no input, and no descriptor
    /// but its three.
    private static func spawn(
        _ command: ChildCommand, output: Int32, error: Int32
    ) throws(StartFault) -> pid_t {
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
        try StartFault.check(unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0))
        try StartFault.check(unsafe posix_spawn_file_actions_adddup2(&actions, output, 1))
        try StartFault.check(unsafe posix_spawn_file_actions_adddup2(&actions, error, 2))
        try StartFault.check(unsafe posix_spawn_file_actions_addclosefrom_np(&actions, 3))
        unsafe sigemptyset(&signals)
        try StartFault.check(unsafe posix_spawnattr_setsigmask(&attributes, &signals))
        unsafe sigfillset(&signals)
        try StartFault.check(unsafe posix_spawnattr_setsigdefault(&attributes, &signals))
        try StartFault.check(unsafe posix_spawnattr_setpgroup(&attributes, 0))
        let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP
        try StartFault.check(unsafe posix_spawnattr_setflags(&attributes, Int16(flags)))
        let environment = command.environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        let number = unsafe withCStrings(command.arguments) { arguments in
            unsafe withCStrings(environment) { environment in
                guard let program = unsafe arguments[0] else { return EINVAL }
                return unsafe posix_spawnp(&process, program, &actions, &attributes, arguments, environment)
            }
        }
        try StartFault.check(number)
        return process
    }
}

/// A pipe whose ends are closed unless taken.
private struct Pipe: ~Copyable {
    private let readEnd: Int32
    let writeEnd: Int32

    init(_ command: ChildCommand) throws(AgentError) {
        var ends: [Int32] = [-1, -1]
        // SAFETY: the kernel writes two numbers into an array of two.
        guard unsafe vta_pipe(&ends) == 0 else {
            throw AgentError(
                .commandFailed, "no pipe for \(command.program): errno \(errno)", remedy: "Raise LimitNOFILE")
        }
        (readEnd, writeEnd) = (ends[0], ends[1])
    }

    /// The caller closes it.
    consuming func takeReadEnd() -> Int32 {
        let taken = readEnd
        Glibc.close(writeEnd)
        discard self
        return taken
    }

    deinit {
        Glibc.close(readEnd)
        Glibc.close(writeEnd)
    }
}

/// Lends a NULL-terminated array of C strings.
private func withCStrings<Result>(
    _ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> Result
) -> Result {
    // SAFETY: the copies live until the body has returned.
    var copies: [UnsafeMutablePointer<CChar>?] = unsafe strings.map { unsafe strdup($0) }
    unsafe copies.append(nil)
    defer { unsafe copies.forEach { unsafe free($0) } }
    return unsafe body(copies)
}
