// ServiceHealth: files that others read while the agent rewrites them: the status file and the metrics file.

private import CLinux
internal import Diagnosis
private import Glibc

/// A file whose content is replaced as a whole: a reader sees the old content or the new, never a part.
///
/// It is not made durable: it says how a running process is, and a crash of the machine makes that untrue anyway. So a write
/// costs no wait for a disk, and may happen on the agent's queue. The directory must exist and be local.
struct ReplacedFile {
    /// Absolute.
    let path: String

    private var temporaryPath: String { "\(path).\(getpid()).tmp" }

    /// Readable by everyone: there is no secret in it. Throws `stateUnwritable`; the old content then stands.
    func replace(with text: String) throws(AgentError) {
        let bytes = Array(text.utf8)
        let descriptor = try created()
        // umask does not apply to what the file is for.
        var done = fchmod(descriptor, 0o644) == 0
        // SAFETY: the kernel reads `bytes.count` bytes of an array that outlives the call.
        done = unsafe done && write(descriptor, bytes, bytes.count) == bytes.count
        let problem = errno
        close(descriptor)
        guard done else { throw discard("write", problem) }
        guard unsafe rename(temporaryPath, path) == 0 else { throw discard("rename", errno) }
    }

    /// Sets the time of last change to now. False where the file is gone.
    func touch() throws(AgentError) -> Bool {
        // SAFETY: nil means "now"; the path is copied by the kernel before the call returns.
        if unsafe utimensat(AT_FDCWD, path, nil, 0) == 0 { return true }
        guard errno == ENOENT else { throw failure("touch", errno) }
        return false
    }

    /// The temporary file, open for writing. One of the same name is what a killed process of the same number left.
    private func created() throws(AgentError) -> Int32 {
        for _ in 1...2 {
            let descriptor = unsafe open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o644)
            if descriptor >= 0 { return descriptor }
            guard errno == EEXIST, unsafe unlink(temporaryPath) == 0 else { break }
        }
        throw failure("create a file beside", errno)
    }

    private func discard(_ action: String, _ problem: Int32) -> AgentError {
        unsafe unlink(temporaryPath)
        return failure(action, problem)
    }

    private func failure(_ action: String, _ problem: Int32) -> AgentError {
        let reason = unsafe String(cString: strerror(problem))
        return AgentError(
            .stateUnwritable, "cannot \(action) \(path): \(reason)",
            remedy: "Make its directory exist and writable for the agent's user")
    }
}
