// ChildProcess: one child from its start to its end: its output, its time, its exit status.

private import CLinux
internal import Crypto
internal import Diagnosis
internal import EventLoop
private import Glibc
internal import SystemCalls
internal import Timekeeping

/// Sees one child through. Lives on the event loop.
actor ChildRun {
    private nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }

    private let child: StartedChild
    private let command: ChildCommand
    private var ending: Watch?
    /// Of standard output and standard error; nil once nobody writes there any more.
    private var pipes: [Watch?] = [nil, nil]
    private var alarm: Alarm?
    private var outputs = [Output(), Output()]
    private var stopping: AgentError?
    private var hasEnded = false
    private var continuation: CheckedContinuation<Result<ChildOutcome, AgentError>, Never>?

    private struct Output {
        var pieces: [Secret] = []
        var count = 0
        var isCut = false

        var whole: Secret {
            var builder = SecretBuilder(capacity: count)
            for piece in pieces { builder.append(piece) }
            return builder.secret()
        }
    }

    init(_ child: StartedChild, _ command: ChildCommand, on loop: EventLoop) {
        self.child = child
        self.command = command
        self.loop = loop
    }

    /// Waits for the end. To be called once.
    func outcome() async -> Result<ChildOutcome, AgentError> {
        await withCheckedContinuation { continuation in
            self.continuation = continuation
            do throws(SystemFault) {
                ending = try watch(child.ending) { $0.end() }
                pipes = [try watch(child.output) { $0.read(0) }, try watch(child.error) { $0.read(1) }]
            } catch {
                // It runs, and its end or its output would be missed: it does not go on.
                stopping = command.cannotStart(error)
                kill(-child.process, SIGKILL)
                if ending == nil { lookForEnd() }
            }
            if stopping == nil {
                alarm = loop.schedule(at: loop.now + command.timeout) {
                    self.assumeIsolated { run in
                        run.stop(
                            AgentError(
                                .commandFailed, "\(run.command.program) ran longer than \(run.command.timeout.text)",
                                remedy: "Make it quicker, or raise its timeout"))
                    }
                }
            }
        }
    }

    /// Somebody cancelled the task.
    func callOff() {
        stop(AgentError(.cancelled, "\(command.program) was called off"))
    }

    private func watch(
        _ carried: CarriedDescriptor, _ handler: @escaping @Sendable (isolated ChildRun) -> Void
    ) throws(SystemFault) -> Watch? {
        guard let descriptor = carried.take() else { return nil }
        return try loop.watch(descriptor, for: .readable) { _ in self.assumeIsolated { handler($0) } }
    }

    // MARK: Output

    /// Bytes taken at a time, and so often in a turn of the loop: together what a pipe holds. A child that never stops talking
    /// must not keep the queue.
    private static let (portion, portionsInTurn) = (16 << 10, 4)
    /// Between two turns for an output of which no more is kept: to throw it away as fast as it comes would keep a CPU busy.
    private static let rest: Duration = .milliseconds(10)

    private func read(_ index: Int) {
        guard let pipe = pipes[index] else { return }
        unsafe withUnsafeTemporaryAllocation(byteCount: Self.portion, alignment: 1) { buffer in
            // SAFETY: the buffer is this call's own; what stood in it may be a secret.
            defer { if let start = buffer.baseAddress { unsafe explicit_bzero(start, buffer.count) } }
            for _ in 0..<Self.portionsInTurn {
                // SAFETY: the kernel writes at most the bytes that the buffer has.
                let count = unsafe Glibc.read(pipe.number, buffer.baseAddress, buffer.count)
                if count < 0 { break }
                if count == 0 {
                    pipe.end()
                    pipes[index] = nil
                    return
                }
                unsafe keep(UnsafeRawBufferPointer(rebasing: buffer[..<count]), index)
            }
        }
        if outputs[index].isCut { pause(index) }
    }

    private func keep(_ bytes: UnsafeRawBufferPointer, _ index: Int) {
        let limit = index == 0 ? command.outputLimit : command.errorLimit
        let kept = min(bytes.count, limit - outputs[index].count)
        if kept < bytes.count { outputs[index].isCut = true }
        guard kept > 0 else { return }
        outputs[index].pieces.append(unsafe Secret(bytes[..<kept]))
        outputs[index].count += kept
    }

    /// Where the kernel does not let the interest be changed, it is read on at once.
    private func pause(_ index: Int) {
        guard let pipe = pipes[index], (try? pipe.change(to: [])) != nil else { return }
        _ = loop.schedule(at: loop.now + Self.rest) { try? pipe.change(to: .readable) }
    }

    // MARK: End

    private func stop(_ reason: AgentError) {
        guard stopping == nil, !hasEnded else { return }
        stopping = reason
        RunningChildren.askToStop(child.process)
        schedule { run in
            kill(-run.child.process, SIGKILL)
            // After as long again nobody waits any more. One that hangs in the kernel is reaped whenever it ends.
            run.schedule { run in run.answer(.failure(reason)) }
        }
    }

    private func schedule(_ body: @escaping @Sendable (isolated ChildRun) -> Void) {
        if let alarm { loop.cancel(alarm) }
        alarm = loop.schedule(at: loop.now + RunningChildren.grace) { self.assumeIsolated { body($0) } }
    }

    /// For a child whose end nothing tells.
    private func lookForEnd() {
        schedule { run in
            run.end()
            if !run.hasEnded { run.lookForEnd() }
        }
    }

    /// The child has ended. What it wrote is in the pipes already; what children of its own may still write is not waited for.
    private func end() {
        // While the child is not yet reaped its number is the group's and nobody else's.
        if stopping != nil { kill(-child.process, SIGKILL) }
        RunningChildren.ended(child.process)
        var status: Int32 = 0
        // SAFETY: the kernel writes one number. The child has ended, so this does not wait.
        let reaped = unsafe waitpid(child.process, &status, WNOHANG)
        let problem = errno
        if reaped == 0 { return }
        OwnChildren.reaped(child.process)
        hasEnded = true
        read(0)
        read(1)
        closeAll()
        if let alarm { loop.cancel(alarm) }
        if let stopping {
            answer(.failure(stopping))
        } else if reaped < 0 {
            answer(
                .failure(
                    AgentError(
                        .internalFault, "the exit status of \(command.program) is lost: \(errorText(problem))")))
        } else {
            answer(.success(outcome(of: vta_exit_status(status))))
        }
    }

    private func closeAll() {
        ending?.end()
        for pipe in pipes { pipe?.end() }
        (ending, pipes) = (nil, [nil, nil])
    }

    private func outcome(of code: Int32) -> ChildOutcome {
        ChildOutcome(
            end: code >= 0 ? .exited(code) : .signalled(-code), standardOutput: outputs[0].whole,
            standardError: outputs[1].whole, isCut: outputs[0].isCut)
    }

    private func answer(_ result: Result<ChildOutcome, AgentError>) {
        continuation?.resume(returning: result)
        continuation = nil
    }
}
