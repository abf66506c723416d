// TokenSinks: an open directory and the ways to change a file in it so that readers see the old or the new, whole.

internal import CLinux
internal import Crypto
internal import Glibc
internal import SystemCalls

/// The rights that a file is given before it has any content.
struct FileRights: Hashable, Sendable {
    let mode: UInt16
    let ownership: Ownership

    /// Sets what differs. The mode first: afterwards the file may belong to somebody else.
    fileprivate func apply(to file: borrowing Descriptor, path: String) throws(SystemFault) {
        let now = try FileStamp(descriptor: file.number, path: path)
        if now.mode != mode {
            guard fchmod(file.number, mode_t(mode)) == 0 else { throw SystemFault("chmod", path) }
        }
        if !ownership.isThat(of: now.owner, now.group) {
            guard fchown(file.number, ownership.user, ownership.groupToSet) == 0 else {
                throw SystemFault("chown", path)
            }
        }
    }
}

/// A sink's directory, held open so that every step of a change happens in the same one.
struct SinkDirectory: ~Copyable {
    let path: String
    private let descriptor: Descriptor

    init(_ path: String) throws(SystemFault) {
        self.path = path
        descriptor = try Descriptor(unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", path)
    }

    private func full(_ name: String) -> String {
        path == "/" ? "/\(name)" : "\(path)/\(name)"
    }

    // MARK: Looking

    func stamp() throws(SystemFault) -> FileStamp {
        try FileStamp(descriptor: descriptor.number, path: path)
    }

    /// Nil: no such name.
    func stamp(of name: String) throws(SystemFault) -> FileStamp? {
        try FileStamp(name: name, in: descriptor.number, path: full(name))
    }

    /// Whether something is mounted on the name itself, so that it cannot be replaced. False where the kernel
    /// (before 5.8) does not say; then the first rename does.
    func isMountPoint(_ name: String) -> Bool {
        unsafe vta_is_mount_root(descriptor.number, name) == 1
    }

    /// Whether the file holds exactly these bytes.
    func file(_ name: String, holds expected: Secret) throws(SystemFault) -> Bool {
        try content(of: name, limit: expected.count) == expected
    }

    /// The file's content; nil where it is longer than `limit`, of which at most one byte more is read.
    func content(of name: String, limit: Int) throws(SystemFault) -> Secret? {
        let file = try openFile(name, O_RDONLY)
        var found = [UInt8](repeating: 0, count: limit + 1)
        var filled = 0
        while filled < found.count {
            let count = unsafe found.withUnsafeMutableBytes { buffer in
                // SAFETY: the kernel writes at most the bytes that are left in the buffer.
                retryingOnSignal {
                    unsafe read(file.number, buffer.baseAddress?.advanced(by: filled), buffer.count - filled)
                }
            }
            guard count >= 0 else { throw SystemFault("read", full(name)) }
            if count == 0 { break }
            filled += count
        }
        found.removeLast(found.count - filled)
        let content = Secret(wiping: &found)
        return content.count > limit ? nil : content
    }

    /// Opens a regular file, never by a symbolic link and without waiting for a pipe's other end.
    private func openFile(_ name: String, _ access: Int32) throws(SystemFault) -> Descriptor {
        let file = try Descriptor(
            unsafe openat(descriptor.number, name, access | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), "open", full(name))
        guard try FileStamp(descriptor: file.number, path: full(name)).isRegular else {
            throw SystemFault("open", full(name), number: EINVAL)
        }
        return file
    }

    // MARK: Changing

    /// Puts a file with this content in the place of what is there. Readers open the old or the new, each whole; after
    /// any failure there is the old one and nothing else. The new file and its name are on disk when this returns.
    func replace(
        _ name: String, with content: Secret, rights: FileRights, modified: FileStamp.Moment? = nil
    ) throws(SystemFault) -> FileStamp {
        let temporary = TemporaryName.make(for: name)
        let file = try createLocked(temporary)
        do throws(SystemFault) {
            try rights.apply(to: file, path: full(temporary))
            try write(content, to: file, path: full(temporary))
            if let modified { try setModified(modified, of: file, path: full(temporary)) }
            guard fsync(file.number) == 0 else { throw SystemFault("fsync", full(temporary)) }
            try rename(temporary, to: name)
        } catch {
            remove(temporary)
            throw error
        }
        try synchronise()
        return try FileStamp(descriptor: file.number, path: full(name))
    }

    /// Writes into the file that is there, for one that cannot be replaced. Not atomic: a reader may for a moment see
    /// the beginning of the new content and the end of the old. Space is reserved first, so that a full disk leaves the old.
    func overwrite(
        _ name: String, with content: Secret, rights: FileRights, modified: FileStamp.Moment? = nil
    ) throws(SystemFault) -> FileStamp {
        let file = try openFile(name, O_WRONLY)
        try rights.apply(to: file, path: full(name))
        if vta_reserve(file.number, Int64(content.count)) != 0, errno == ENOSPC || errno == EDQUOT {
            throw SystemFault("fallocate", full(name))
        }
        try write(content, to: file, path: full(name))
        guard ftruncate(file.number, content.count) == 0 else { throw SystemFault("truncate", full(name)) }
        if let modified { try setModified(modified, of: file, path: full(name)) }
        guard fsync(file.number) == 0 else { throw SystemFault("fsync", full(name)) }
        return try FileStamp(descriptor: file.number, path: full(name))
    }

    /// Goes through the steps of ``replace(_:with:rights:modified:)`` under names that nobody reads.
    func rehearse(for name: String, rights: FileRights) throws(SystemFault) {
        let temporary = TemporaryName.make(for: name)
        let other = TemporaryName.make(for: name)
        let file = try createLocked(temporary)
        do throws(SystemFault) {
            try rights.apply(to: file, path: full(temporary))
            try write(Secret(text: "a trial at start\n"), to: file, path: full(temporary))
            try rename(temporary, to: other)
        } catch {
            remove(temporary)
            throw error
        }
        guard remove(other) else { throw SystemFault("unlink", full(other)) }
    }

    /// The same for a file that can only be overwritten, which somebody may be reading: it is opened, and given the mode that
    /// it has already.
    func rehearseOverwriting(_ name: String) throws(SystemFault) {
        let file = try openFile(name, O_WRONLY)
        let mode = try FileStamp(descriptor: file.number, path: full(name)).mode
        guard fchmod(file.number, mode_t(mode)) == 0 else { throw SystemFault("chmod", full(name)) }
    }

    /// Empties a file that cannot be removed.
    func empty(_ name: String) throws(SystemFault) {
        let file = try openFile(name, O_WRONLY)
        guard ftruncate(file.number, 0) == 0 else { throw SystemFault("truncate", full(name)) }
        guard fsync(file.number) == 0 else { throw SystemFault("fsync", full(name)) }
    }

    /// False: `errno` says why.
    @discardableResult
    func remove(_ name: String) -> Bool {
        unsafe unlinkat(descriptor.number, name, 0) == 0
    }

    /// Has the directory's own entries on disk. A file system that cannot do that says EINVAL.
    func synchronise() throws(SystemFault) {
        guard fsync(descriptor.number) == 0 || errno == EINVAL else { throw SystemFault("fsync", path) }
    }

    /// Has the file and its name on disk.
    func synchronise(_ name: String) throws(SystemFault) {
        let file = try openFile(name, O_RDONLY)
        guard fsync(file.number) == 0 else { throw SystemFault("fsync", full(name)) }
        try synchronise()
    }

    // MARK: Temporary files

    /// Removes the temporary files that agents left behind when they were killed while writing `name`. One that a living
    /// agent still writes is locked, in whatever container that agent runs, and is left alone.
    func removeLeftovers(of name: String) throws(SystemFault) -> Int {
        var removed = 0
        for leftover in try names(where: { TemporaryName.matches($0, name) }) {
            if isAbandoned(leftover), remove(leftover) { removed += 1 }
        }
        return removed
    }

    /// Nobody has it locked. One that belongs to another user already, and so cannot be opened, is judged by its age: no
    /// write takes an hour.
    private func isAbandoned(_ temporary: String) -> Bool {
        do throws(SystemFault) {
            let file = try openFile(temporary, O_RDONLY)
            return flock(file.number, LOCK_EX | LOCK_NB) == 0
        } catch {
            guard error.number == EACCES, let stamp = try? stamp(of: temporary), stamp.isRegular else { return false }
            return stamp.changed.seconds < time(nil) - 3_600
        }
    }

    /// The names that meet a condition.
    func names(where isWanted: (String) -> Bool) throws(SystemFault) -> [String] {
        try descriptor.names(path: path).filter(isWanted)
    }

    private func createLocked(_ temporary: String) throws(SystemFault) -> Descriptor {
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let file = try Descriptor(
            unsafe openat(descriptor.number, temporary, flags, 0o600), "create", full(temporary))
        // Where locks are not to be had, a leftover cannot be locked either and stays: rather that than a wrong removal.
        _ = flock(file.number, LOCK_EX | LOCK_NB)
        return file
    }

    /// Gives a name that is no file its rights, never through a symbolic link.
    func give(_ name: String, _ rights: FileRights) throws(SystemFault) {
        guard unsafe fchmodat(descriptor.number, name, mode_t(rights.mode), 0) == 0 else {
            throw SystemFault("chmod", full(name))
        }
        let (user, group) = (rights.ownership.user, rights.ownership.groupToSet)
        guard unsafe fchownat(descriptor.number, name, user, group, AT_SYMLINK_NOFOLLOW) == 0 else {
            throw SystemFault("chown", full(name))
        }
    }

    func rename(_ old: String, to new: String) throws(SystemFault) {
        guard unsafe renameat(descriptor.number, old, descriptor.number, new) == 0 else {
            throw SystemFault("rename", full(new))
        }
    }

    private func write(_ content: Secret, to file: borrowing Descriptor, path: String) throws(SystemFault) {
        let descriptor = file.number
        try unsafe content.withBytes { (bytes) throws(SystemFault) in
            var written = 0
            while written < bytes.count {
                let count = retryingOnSignal {
                    // SAFETY: the kernel reads the bytes that are left of the buffer, which outlives the call.
                    unsafe Glibc.write(descriptor, bytes.baseAddress?.advanced(by: written), bytes.count - written)
                }
                guard count > 0 else { throw SystemFault("write", path, number: count == 0 ? ENOSPC : errno) }
                written += count
            }
        }
    }

    private func setModified(
        _ moment: FileStamp.Moment, of file: borrowing Descriptor, path: String
    ) throws(SystemFault) {
        let times = [
            timespec(tv_sec: 0, tv_nsec: vta_utime_omit),
            timespec(tv_sec: moment.seconds, tv_nsec: moment.nanoseconds),
        ]
        // An agent that may give files away (CAP_CHOWN) and no more (CAP_FOWNER) has no say over this one's times now.
        guard unsafe futimens(file.number, times) == 0 || errno == EPERM else { throw SystemFault("utime", path) }
    }
}

/// Names of files and sockets that are not yet a sink.
enum TemporaryName {
    private static let mark = ".vta-"

    /// `.token.vta-0123456789abcdef`: says whose it is.
    static func make(for name: String) -> String {
        ".\(name)\(mark)\(randomDigits(16))"
    }

    static func matches(_ candidate: String, _ name: String) -> Bool {
        isMade(candidate, ".\(name)\(mark)", 16)
    }

    /// `.vta-01234567`: short, because the address of a socket is.
    static func makeForSocket() -> String {
        mark + randomDigits(8)
    }

    static let lengthForSocket = 13

    static func isForSocket(_ candidate: String) -> Bool {
        isMade(candidate, mark, 8)
    }

    private static func randomDigits(_ count: Int) -> String {
        let digits = String(UInt64.random(in: .min ... .max), radix: 16)
        return String((String(repeating: "0", count: 16) + digits).suffix(count))
    }

    private static func isMade(_ candidate: String, _ start: String, _ count: Int) -> Bool {
        guard candidate.hasPrefix(start) else { return false }
        let rest = candidate.utf8.dropFirst(start.utf8.count)
        return rest.count == count
            && rest.allSatisfy { ($0 >= 48 && $0 <= 57) || ($0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "f")) }
    }
}
