// AWSIdentity: small files, read whole: configuration, credentials, tokens.

internal import CLinux
internal import Glibc
private import SystemCalls

/// A file's content, and whether strangers can read it too.
package struct FileContent: Sendable {
    package var bytes: [UInt8]
    /// The permission bits let everybody read.
    package var worldReadable: Bool

    package init(bytes: [UInt8], worldReadable: Bool) {
        self.bytes = bytes
        self.worldReadable = worldReadable
    }
}

/// Why a file could not be read.
package enum FileFault: Error, Hashable, Sendable {
    /// There is none by that name.
    case absent(String)
    /// It is there, or may be, and cannot be read: denied, behind a broken mount, a pipe.
    case unreadable(String)
    /// It is longer than the limit, in bytes.
    case tooLong(limit: Int)
}

package protocol FileReading {
    /// The whole file, which may have at most `limit` bytes.
    func read(_ path: String, limit: Int) throws(FileFault) -> FileContent
}

/// The machine's files.
package struct LocalFiles: FileReading {
    package init() {}

    package func read(_ path: String, limit: Int) throws(FileFault) -> FileContent {
        var status = stat()
        // SAFETY: the kernel fills `status` before the call returns.
        guard unsafe stat(path, &status) == 0 else {
            let number = errno
            // Below what is no directory there can be nothing.
            throw [ENOENT, ENOTDIR].contains(number)
                ? .absent(Self.text(of: number)) : .unreadable(Self.text(of: number))
        }
        // Whoever names /dev/null means no file.
        if status.st_mode & S_IFMT == S_IFCHR, status.st_rdev == Self.null {
            return FileContent(bytes: [], worldReadable: false)
        }
        // A pipe or device would be read for ever.
        guard status.st_mode & S_IFMT == S_IFREG else { throw .unreadable("is not a regular file") }
        let file: Descriptor
        do throws(SystemFault) {
            file = try Descriptor(unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), "open", path)
        } catch {
            throw error.number == ENOENT ? .absent(Self.text(of: ENOENT)) : .unreadable(Self.text(of: error.number))
        }
        let number = file.number
        var bytes: [UInt8] = []
        while bytes.count <= limit {
            let chunk = min(65_536, limit + 1 - bytes.count)
            var failure: Int32?
            let piece = unsafe [UInt8](unsafeUninitializedCapacity: chunk) { buffer, count in
                // SAFETY: the kernel writes at most `chunk` bytes into the buffer of that size, and says how many.
                let received = unsafe Glibc.read(number, buffer.baseAddress, chunk)
                failure = received < 0 ? errno : nil
                count = max(0, received)
            }
            if let failure {
                if failure == EINTR { continue }
                throw .unreadable(Self.text(of: failure))
            }
            if piece.isEmpty {
                return FileContent(bytes: bytes, worldReadable: status.st_mode & S_IROTH != 0)
            }
            bytes += piece
        }
        throw .tooLong(limit: limit)
    }

    /// The device 1:3.
    private static let null: dev_t = 0x103

    private static func text(of code: Int32) -> String {
        switch code {
        case ENOENT: "does not exist"
        case EACCES: "permission denied"
        case ENOTDIR: "a part of its path is not a directory"
        case ELOOP: "its symbolic links go in a circle"
        case EISDIR: "is a directory"
        default: errorText(code)
        }
    }
}

extension AWSSurroundings {
    /// The home directory that the user database names for the effective user: for a service without `HOME`.
    package static func homeFromPasswd() -> String? {
        var entry = unsafe passwd()
        var found: UnsafeMutablePointer<passwd>?
        return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16_384) { buffer in
            guard let start = buffer.baseAddress else { return nil }
            // SAFETY: glibc writes the strings into `buffer`, no more than it holds; `entry` points into it, and is read
            // before it goes.
            guard unsafe getpwuid_r(geteuid(), &entry, start, buffer.count, &found) == 0, unsafe found != nil else {
                return nil
            }
            return unsafe String(cString: entry.pw_dir)
        }
    }
}
