// FileSystem: a lock that a process holds for as long as it runs, and that others see.

private import CLinux
private import Glibc
package import SystemCalls

/// Held for as long as it lives, and by no process that has ended, however it ended.
package final class FileLock: Sendable {
    package let path: String
    private let file: Descriptor

    /// Throws EAGAIN where another process holds it; nil where the file system has no such locks, or nothing can be written
    /// there. May wait for a disk.
    package init?(path: String) throws(SystemFault) {
        let flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
        guard let file = try? Descriptor(unsafe open(path, flags, 0o644), "open", path) else { return nil }
        if vta_lock(file.number) != 0 {
            guard errno == EAGAIN || errno == EACCES else { return nil }
            throw SystemFault("lock", path, number: EAGAIN)
        }
        self.path = path
        self.file = file
    }

    /// Whether somebody holds it now; nil where that cannot be told: there is no such file, or it cannot be read.
    package static func isHeld(path: String) -> Bool? {
        let flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC
        guard let file = try? Descriptor(unsafe open(path, flags), "open", path) else { return nil }
        return switch vta_is_locked(file.number) {
        case 0: false
        case 1: true
        default: nil
        }
    }
}
