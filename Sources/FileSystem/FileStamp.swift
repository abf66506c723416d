// FileSystem: what is known of a file without reading it.

private import CLinux
private import Glibc
package import SystemCalls

/// A file's identity, size, rights and times. The change time moves with every write, chmod, chown and rename, so a
/// file whose stamp is as it was left has not been touched.
package struct FileStamp: Equatable, Sendable {
    package let device: UInt64
    package let inode: UInt64
    package let kind: Kind
    package let mode: UInt16
    package let owner: UInt32
    package let group: UInt32
    package let size: Int64
    package let modified: Moment
    package let changed: Moment

    /// What stands at a path, in the words of an error.
    package enum Kind: String, Sendable {
        case regular = "a file"
        case directory = "a directory"
        case link = "a symbolic link"
        case socket = "a socket"
        case other = "a pipe or a device"
    }

    package var isRegular: Bool { kind == .regular }

    package func isSameFile(as other: FileStamp) -> Bool {
        device == other.device && inode == other.inode && kind == other.kind
    }

    /// A file's time, by the file system's clock.
    package struct Moment: Equatable, Sendable {
        package let seconds: Int
        package let nanoseconds: Int
    }

    private init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        switch status.st_mode & S_IFMT {
        case S_IFREG: kind = .regular
        case S_IFDIR: kind = .directory
        case S_IFLNK: kind = .link
        case S_IFSOCK: kind = .socket
        default: kind = .other
        }
        mode = UInt16(status.st_mode & 0o7777)
        owner = status.st_uid
        group = status.st_gid
        size = Int64(status.st_size)
        modified = Moment(seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
        changed = Moment(seconds: status.st_ctim.tv_sec, nanoseconds: status.st_ctim.tv_nsec)
    }

    /// Of an open file.
    package init(descriptor: Int32, path: String) throws(SystemFault) {
        var status = stat()
        // SAFETY: the kernel fills `status` before the call returns.
        guard unsafe fstat(descriptor, &status) == 0 else { throw SystemFault("fstat", path) }
        self.init(status)
    }

    /// Of a name in an open directory, a symbolic link itself and not what it points to; nil: no such name.
    package init?(name: String, in directory: Int32, path: String) throws(SystemFault) {
        var status = stat()
        // SAFETY: as above.
        guard unsafe fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
            if errno == ENOENT { return nil }
            throw SystemFault("stat", path)
        }
        self.init(status)
    }
}

/// A mode as people write it: `0640`.
package func octal(_ mode: UInt16) -> String {
    let digits = String(mode, radix: 8)
    return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
}
