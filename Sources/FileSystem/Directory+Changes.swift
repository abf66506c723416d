// FileSystem: the ways to change a file so that readers, and a machine that lost its power, find the old or the new, whole.

private import CLinux
package import Crypto
private import Glibc
package import SystemCalls

extension Directory {
    /// Puts a file with this content in the place of what is there. Readers open the old or the new, each whole; after
    /// any failure there is the old one and nothing else. The new file and its name are on disk when this returns. Returns
    /// when it was modified: nothing else of what is at that name by then need be this file's.
    @discardableResult
    package func replace(
        _ name: String, with content: Secret, rights: FileRights, modified: FileStamp.Moment? = nil
    ) throws(SystemFault) -> FileStamp.Moment {
        let temporary = TemporaryName.make(for: name)
        let file = try createLocked(temporary, for: name)
        let written: FileStamp.Moment
        do throws(SystemFault) {
            try rights.apply(to: file, path: full(name))
            try write(content, to: file, path: full(name))
            if let modified { try setModified(modified, of: file, path: full(name)) }
            try synchronise(file, path: full(name))
            written = try FileStamp(descriptor: file.number, path: full(name)).modified
            try rename(temporary, to: name)
        } catch {
            remove(temporary)
            throw error
        }
        try synchronise()
        return written
    }

    /// Writes into the file that is there, for one that cannot be replaced. Not atomic: a reader may for a moment see
    /// the beginning of the new content and the end of the old. Space is reserved first, so that a full disk leaves the old.
    package func overwrite(
        _ name: String, with content: Secret, rights: FileRights, modified: FileStamp.Moment? = nil
    ) throws(SystemFault) -> FileStamp.Moment {
        let file = try open(name, O_WRONLY)
        try rights.apply(to: file, path: full(name))
        if vta_reserve(file.number, Int64(content.count)) != 0, errno == ENOSPC || errno == EDQUOT {
            throw SystemFault("fallocate", full(name))
        }
        try write(content, to: file, path: full(name))
        guard ftruncate(file.number, content.count) == 0 else { throw SystemFault("truncate", full(name)) }
        if let modified { try setModified(modified, of: file, path: full(name)) }
        try synchronise(file, path: full(name))
        return try FileStamp(descriptor: file.number, path: full(name)).modified
    }

    /// Goes through the steps of ``replace(_:with:rights:modified:)`` under names that nobody reads.
    package func rehearse(for name: String, rights: FileRights) throws(SystemFault) {
        let temporary = TemporaryName.make(for: name)
        let other = TemporaryName.make(for: name)
        let file = try createLocked(temporary, for: name)
        do throws(SystemFault) {
            try rights.apply(to: file, path: full(name))
            try write(Secret(text: "a trial at start\n"), to: file, path: full(name))
            try rename(temporary, to: other)
        } catch {
            remove(temporary)
            throw error
        }
        guard remove(other) else { throw SystemFault("unlink", full(name)) }
    }

    /// The same for a file that can only be overwritten, which somebody may be reading: it is opened, and given the mode that
    /// it has already.
    package func rehearseOverwriting(_ name: String) throws(SystemFault) {
        let file = try open(name, O_WRONLY)
        let mode = try FileStamp(descriptor: file.number, path: full(name)).mode
        guard fchmod(file.number, mode_t(mode)) == 0 else { throw SystemFault("chmod", full(name)) }
    }

    /// Empties a file that cannot be removed.
    package func empty(_ name: String) throws(SystemFault) {
        let file = try open(name, O_WRONLY)
        guard ftruncate(file.number, 0) == 0 else { throw SystemFault("truncate", full(name)) }
        try synchronise(file, path: full(name))
    }

    /// Sets the file's time of last change to now. False: there is no such name.
    package func touch(_ name: String) throws(SystemFault) -> Bool {
        // SAFETY: nil means "now"; the name is copied by the kernel before the call returns.
        if unsafe utimensat(descriptor.number, name, nil, AT_SYMLINK_NOFOLLOW) == 0 { return true }
        guard errno == ENOENT else { throw SystemFault("touch", full(name)) }
        return false
    }

    /// False: `errno` says why.
    @discardableResult
    package func remove(_ name: String) -> Bool {
        unsafe unlinkat(descriptor.number, name, 0) == 0
    }

    func rename(_ old: String, to new: String) throws(SystemFault) {
        guard unsafe renameat(descriptor.number, old, descriptor.number, new) == 0 else {
            throw SystemFault("rename", full(new))
        }
    }

    /// Has the directory's own entries on disk. A file system that cannot do that says EINVAL.
    package func synchronise() throws(SystemFault) {
        guard fsync(descriptor.number) == 0 || errno == EINVAL else { throw SystemFault("fsync", path) }
    }

    /// Has the file and its name on disk.
    package func synchronise(_ name: String) throws(SystemFault) {
        try synchronise(open(name), path: full(name))
        try synchronise()
    }

    private func synchronise(_ file: borrowing Descriptor, path: String) throws(SystemFault) {
        guard fsync(file.number) == 0 else { throw SystemFault("fsync", path) }
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

    // MARK: Temporary files

    private func createLocked(_ temporary: String, for name: String) throws(SystemFault) -> Descriptor {
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let file = try Descriptor(
            unsafe openat(descriptor.number, temporary, flags, 0o600), "create", full(name))
        // Where locks are not to be had, a leftover cannot be locked either and stays: rather that than a wrong removal.
        _ = flock(file.number, LOCK_EX | LOCK_NB)
        return file
    }

    /// Removes the temporary files that agents left behind when they were killed while writing one of these names, and says
    /// how many. One that a living agent still writes is locked, in whatever container that agent runs, and is left alone.
    @discardableResult
    package func removeLeftovers(of isWanted: (String) -> Bool) throws(SystemFault) -> Int {
        try names { TemporaryName.owner(of: $0).map(isWanted) ?? false }
            .count { isAbandoned($0) && remove($0) }
    }

    /// Nobody has it locked. One that belongs to another user already, and so cannot be opened, is judged by its age: no
    /// write takes an hour.
    private func isAbandoned(_ temporary: String) -> Bool {
        do throws(SystemFault) {
            let file = try open(temporary)
            return flock(file.number, LOCK_EX | LOCK_NB) == 0
        } catch {
            guard error.number == EACCES, let stamp = try? stamp(of: temporary), stamp.isRegular else { return false }
            return stamp.changed.seconds < time(nil) - 3_600
        }
    }
}
