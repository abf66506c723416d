// FileSystem: an open directory, and what is in it. All that is here may wait for a disk, so it is called on a BlockingQueue.

internal import CLinux
package import Crypto
internal import Glibc
package import SystemCalls

/// Held open so that every step of a change happens in the same one.
package struct Directory: ~Copyable {
    package let path: String
    let descriptor: Descriptor

    package init(_ path: String) throws(SystemFault) {
        self.path = path
        descriptor = try Descriptor(unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", path)
    }

    package func full(_ name: String) -> String {
        path == "/" ? "/\(name)" : "\(path)/\(name)"
    }

    package func stamp() throws(SystemFault) -> FileStamp {
        try FileStamp(descriptor: descriptor.number, path: path)
    }

    /// Nil: no such name.
    package func stamp(of name: String) throws(SystemFault) -> FileStamp? {
        try FileStamp(name: name, in: descriptor.number, path: full(name))
    }

    /// Whether something is mounted on the name itself, so that it cannot be replaced. False where the kernel
    /// (before 5.8) does not say; then the first rename does.
    package func isMountPoint(_ name: String) -> Bool {
        unsafe vta_is_mount_root(descriptor.number, name) == 1
    }

    /// The names that meet a condition.
    package func names(where isWanted: (String) -> Bool) throws(SystemFault) -> [String] {
        try descriptor.names(path: path).filter(isWanted)
    }

    /// Nobody else has the directory locked until this one is closed; waits for whoever has.
    package func lock() throws(SystemFault) {
        guard flock(descriptor.number, LOCK_EX) == 0 else { throw SystemFault("flock", path) }
    }

    // MARK: Reading

    /// Opens a regular file, never by a symbolic link and without waiting for a pipe's other end.
    package func open(_ name: String, _ access: Int32 = O_RDONLY) throws(SystemFault) -> Descriptor {
        let file = try Descriptor(
            unsafe openat(descriptor.number, name, access | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), "open", full(name))
        guard try FileStamp(descriptor: file.number, path: full(name)).isRegular else {
            throw SystemFault("open", full(name), number: EINVAL)
        }
        return file
    }

    /// Whether the file holds exactly these bytes.
    package func file(_ name: String, holds expected: Secret) throws(SystemFault) -> Bool {
        try content(of: name, limit: expected.count) == expected
    }

    /// The file's content; nil where it is longer than `limit`, of which at most one byte more is read.
    package func content(of name: String, limit: Int) throws(SystemFault) -> Secret? {
        try open(name).content(limit: limit, path: full(name))
    }
}

extension Descriptor {
    /// What can be read from here on; nil where that is longer than `limit`. `path` is for the error only.
    package borrowing func content(limit: Int, path: String) throws(SystemFault) -> Secret? {
        let number = number
        var found = [UInt8](repeating: 0, count: limit + 1)
        var filled = 0
        while filled < found.count {
            let count = unsafe found.withUnsafeMutableBytes { buffer in
                // SAFETY: the kernel writes at most the bytes that are left in the buffer.
                retryingOnSignal {
                    unsafe read(number, buffer.baseAddress?.advanced(by: filled), buffer.count - filled)
                }
            }
            guard count >= 0 else { throw SystemFault("read", path) }
            if count == 0 { break }
            filled += count
        }
        found.removeLast(found.count - filled)
        let content = Secret(wiping: &found)
        return content.count > limit ? nil : content
    }
}
