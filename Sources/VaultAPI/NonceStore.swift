// VaultAPI: the nonce of ec2 logins. Vault remembers the first one that an instance logs in with and takes no other from it
// afterwards, so it is on the disk before the first login, and stays there.

internal import CLinux
package import Crypto
package import Diagnosis
internal import Dispatch
internal import Glibc
internal import SystemCalls

/// Where one token's nonce comes from: a file of the operator's, or one that the agent makes in its state directory.
package struct NonceStore: Sendable {
    /// Longest nonce that Vault takes, in bytes.
    package static let longest = 128

    private enum Place {
        case given(path: String)
        case kept(directory: String, name: String)
    }

    private let place: Place
    /// Disks may be slow: they are waited for here. No target, for a global queue would cost a wake-up each second.
    private let queue = DispatchQueue(label: "vault-token-agent.nonce")

    /// Throws `configurationInvalid` where there is neither a nonce file nor a state directory to keep one in.
    package init(_ login: EC2Login, tokenName: String, stateDirectory: String?) throws(AgentError) {
        if let path = login.nonceFile {
            place = .given(path: path)
        } else if let stateDirectory {
            place = .kept(directory: stateDirectory, name: "nonce-\(tokenName)")
        } else {
            throw AgentError(
                .configurationInvalid, "the ec2 login of token \(tokenName) has no place for its nonce",
                remedy: "Set state_directory (or StateDirectory= in the unit) or auth.nonce_file")
        }
    }

    /// The file that holds the nonce.
    package var path: String {
        switch place {
        case .given(let path): path
        case .kept(let directory, let name): "\(directory)/\(name)"
        }
    }

    /// The nonce; a new one is made and is safely on the disk before this returns.
    ///
    /// Throws `fileUnreadable` or `configurationInvalid` for the operator's file, `stateUnwritable` for the agent's own.
    package func nonce() async throws(AgentError) -> Secret {
        let place = place
        let path = path
        let outcome: Result<Secret, AgentError> = await withCheckedContinuation { continuation in
            queue.async {
                continuation.resume(
                    returning: Result { () throws(AgentError) in
                        switch place {
                        case .given: try NonceFile(path: path).given()
                        case .kept(let directory, let name):
                            try NonceFile(path: path).kept(in: directory, name: name)
                        }
                    })
            }
        }
        return try outcome.get()
    }
}

/// Blocking work on one nonce file. Paths are lent to the kernel as C strings for the call alone: all that is unsafe in it.
private struct NonceFile {
    let path: String

    private struct Fault: Error {
        let observed: String
        var remedy = ""
        /// The system call's; nil for what the file itself is or holds.
        var number: Int32?

        init(_ observed: String, remedy: String) {
            (self.observed, self.remedy) = (observed, remedy)
        }

        init(_ fault: SystemFault) {
            (observed, number) = (fault.observed, fault.number)
        }

        /// To be made right after the call, before `errno` changes.
        init(_ call: String, _ path: String) {
            self.init(SystemFault(call, path))
        }
    }

    func given() throws(AgentError) -> Secret {
        do throws(Fault) {
            // A secret mounted into a container is a link, often readable by a group.
            return try read(
                opened(at: AT_FDCWD, path, O_RDONLY | O_NONBLOCK), forbidden: 0o027, ownerMatters: false)
        } catch {
            throw AgentError(
                error.number == nil ? .configurationInvalid : .fileUnreadable, error.observed,
                remedy: error.number == nil
                    ? error.remedy : "Put the nonce there and let the agent's user (uid \(geteuid())) read it")
        }
    }

    func kept(in directory: String, name: String) throws(AgentError) -> Secret {
        do throws(Fault) {
            let descriptor = try opened(at: AT_FDCWD, directory, O_RDONLY | O_DIRECTORY)
            // Two agents that start at once must not each make one.
            guard flock(descriptor.number, LOCK_EX) == 0 else { throw Fault("flock", directory) }
            let nonce: Secret
            do throws(Fault) {
                nonce = try read(
                    opened(at: descriptor.number, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW), forbidden: 0o077,
                    ownerMatters: true)
            } catch  where error.number == ENOENT {
                nonce = try make(in: descriptor.number, name)
            }
            // The name too must be on the disk before Vault binds the instance to the nonce; the agent that made the file
            // may have been killed before it came to this.
            guard fsync(descriptor.number) == 0 else { throw Fault("fsync", directory) }
            return nonce
        } catch {
            throw AgentError(
                .stateUnwritable, error.observed,
                remedy: error.number == nil
                    ? error.remedy
                    : "The nonce of ec2 logins must be kept in \(directory): let the agent's user (uid \(geteuid())) read and "
                        + "write it; with systemd, StateDirectory= does")
        }
    }

    // MARK: Reading

    /// What stands at a name of an open directory.
    private func opened(
        at directory: Int32, _ name: String, _ flags: Int32, call: String = "open"
    ) throws(Fault) -> Descriptor {
        do throws(SystemFault) {
            return try Descriptor(
                unsafe openat(directory, name, flags | O_CLOEXEC, 0o600), call, directory == AT_FDCWD ? name : path)
        } catch {
            throw Fault(error)
        }
    }

    private func read(
        _ file: consuming Descriptor, forbidden: mode_t, ownerMatters: Bool
    ) throws(Fault) -> Secret {
        var status = stat()
        guard unsafe fstat(file.number, &status) == 0 else { throw Fault("stat", path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw Fault("\(path) is not a file", remedy: "The nonce must stand in an ordinary file")
        }
        guard status.st_mode & forbidden == 0 else {
            let mode = String(status.st_mode & 0o7777, radix: 8)
            throw Fault(
                "\(path) has mode 0\(mode): others can read or write the nonce",
                remedy:
                    "`chmod 0600 \(path)`; who has read the nonce and the identity document can log in as this instance"
            )
        }
        guard !ownerMatters || status.st_uid == geteuid() else {
            throw Fault(
                "\(path) belongs to uid \(status.st_uid), the agent runs as uid \(geteuid())",
                remedy: "`chown \(geteuid()) \(path)`, or run the agent as the user that made it")
        }
        return try content(of: file)
    }

    private func content(of file: borrowing Descriptor) throws(Fault) -> Secret {
        // Room for a newline, and for one byte more than is allowed.
        var bytes = [UInt8](repeating: 0, count: NonceStore.longest + 3)
        let number = file.number
        let count = unsafe bytes.withUnsafeMutableBytes { buffer in
            // SAFETY: the kernel writes at most `buffer.count` bytes.
            unsafe Glibc.read(number, buffer.baseAddress, buffer.count)
        }
        guard count >= 0 else { throw Fault("read", path) }
        bytes.removeLast(bytes.count - count)
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        let nonce = Secret(wiping: &bytes)
        guard !nonce.isEmpty else {
            throw Fault(
                "\(path) is empty",
                remedy:
                    "Vault takes an empty nonce as the wish never to log in again. Restore the nonce; or, if this instance "
                    + "never logged in, remove the file")
        }
        guard nonce.count <= NonceStore.longest else {
            throw Fault("\(path) is too long", remedy: "A nonce has at most \(NonceStore.longest) bytes")
        }
        guard unsafe nonce.withBytes({ bytes in unsafe bytes.allSatisfy { 0x21...0x7E ~= $0 } }) else {
            throw Fault(
                "\(path) holds spaces, control characters or other than ASCII",
                remedy: "A nonce is one line of printable ASCII without spaces")
        }
        return nonce
    }

    // MARK: Making

    /// 32 unguessable bytes in hexadecimal.
    private func make(in directory: Int32, _ name: String) throws(Fault) -> Secret {
        let nonce = Secret(text: Secret.random(count: 32).hexadecimal)
        let temporary = ".\(name).new"
        // Left by an agent that was killed here; the lock says that no other is at it.
        unsafe unlinkat(directory, temporary, 0)
        do throws(Fault) {
            try write(nonce, at: directory, temporary)
            guard unsafe renameat(directory, temporary, directory, name) == 0 else { throw Fault("rename", path) }
        } catch {
            unsafe unlinkat(directory, temporary, 0)
            throw error
        }
        return nonce
    }

    private func write(_ nonce: Secret, at directory: Int32, _ name: String) throws(Fault) {
        let file = try opened(at: directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, call: "create")
        let number = file.number
        guard fchmod(number, 0o600) == 0 else { throw Fault("chmod", path) }
        let written = unsafe nonce.withBytes { bytes in
            // SAFETY: the kernel reads the `bytes.count` bytes that are lent.
            unsafe Glibc.write(number, bytes.baseAddress, bytes.count)
        }
        guard written == nonce.count else { throw Fault("write", path) }
        guard fsync(number) == 0 else { throw Fault("fsync", path) }
    }
}
