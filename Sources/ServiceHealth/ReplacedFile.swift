// ServiceHealth: files that others read while the agent rewrites them: the status file and the metrics file.

private import CLinux
internal import Diagnosis
private import Glibc
private import SystemCalls

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
        do throws(SystemFault) {
            try write(Array(text.utf8))
            guard unsafe rename(temporaryPath, path) == 0 else { throw SystemFault("rename", path) }
        } catch {
            unsafe unlink(temporaryPath)
            throw unwritable(error)
        }
    }

    /// Sets the time of last change to now. False where the file is gone.
    func touch() throws(AgentError) -> Bool {
        // SAFETY: nil means "now"; the path is copied by the kernel before the call returns.
        if unsafe utimensat(AT_FDCWD, path, nil, 0) == 0 { return true }
        guard errno == ENOENT else { throw unwritable(SystemFault("touch", path)) }
        return false
    }

    private func write(_ bytes: [UInt8]) throws(SystemFault) {
        let file = try created()
        // umask does not apply to what the file is for.
        guard fchmod(file.number, 0o644) == 0 else { throw SystemFault("chmod", temporaryPath) }
        // SAFETY: the kernel reads `bytes.count` bytes of an array that outlives the call.
        let count = unsafe Glibc.write(file.number, bytes, bytes.count)
        guard count == bytes.count else {
            throw SystemFault("write", path, number: count < 0 ? errno : ENOSPC)
        }
    }

    /// The temporary file, open for writing. One of the same name is what a killed process of the same number left.
    private func created() throws(SystemFault) -> Descriptor {
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        var result = unsafe open(temporaryPath, flags, 0o644)
        if result < 0, errno == EEXIST, unsafe unlink(temporaryPath) == 0 {
            result = unsafe open(temporaryPath, flags, 0o644)
        }
        return try Descriptor(result, "create a file beside", path)
    }

    private func unwritable(_ fault: SystemFault) -> AgentError {
        AgentError(
            .stateUnwritable, "cannot \(fault.call) \(fault.subject): \(fault.words)",
            remedy: "Make its directory exist and writable for the agent's user")
    }
}
