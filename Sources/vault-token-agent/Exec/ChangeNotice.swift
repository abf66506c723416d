// The command line: whether anything has changed in some directories. What it was is not asked: whoever is told looks anew.

private import CLinux
private import Glibc
internal import SystemCalls

/// The kernel's notice of files that come, go and are written (inotify).
final class ChangeNotice {
    private static let events = UInt32(
        IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE_SELF | IN_MOVE_SELF
            | IN_ONLYDIR)

    private let inotify: Descriptor

    /// Throws where the kernel grants no instance.
    init() throws(SystemFault) {
        inotify = try Descriptor(inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC)), "inotify_init1", "(inotify)")
    }

    /// For poll.
    var number: Int32 { inotify.number }

    /// A directory that is watched already stays so; one that is not there, or may not be watched, is passed over.
    func watch(_ directories: Set<String>) {
        for directory in directories {
            // SAFETY: the path is lent for the call only.
            _ = unsafe inotify_add_watch(inotify.number, directory.isEmpty ? "/" : directory, Self.events)
        }
    }

    /// Whether anything has happened since the last time.
    func drain() -> Bool {
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        var isChanged = false
        // SAFETY: the kernel writes at most `buffer.count` bytes into the array.
        while unsafe read(inotify.number, &buffer, buffer.count) > 0 { isChanged = true }
        return isChanged
    }
}
