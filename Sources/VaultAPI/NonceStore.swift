// VaultAPI: the nonce of ec2 logins. Vault remembers the first one that an instance logs in with and takes no other from it
// afterwards, so it is on the disk before the first login, and stays there.

package import Crypto
package import Diagnosis
internal import FileSystem
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
    private let queue = BlockingQueue(name: "nonce")

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
        return try await queue.run { () throws(AgentError) in
            switch place {
            case .given: try NonceFile(path: path, code: .configurationInvalid).given()
            case .kept(let directory, let name):
                try NonceFile(path: path, code: .stateUnwritable).kept(in: directory, name: name)
            }
        }
    }
}

/// Blocking work on one nonce file.
private struct NonceFile {
    let path: String
    /// For what the file itself is or holds.
    let code: AgentError.Code

    func given() throws(AgentError) -> Secret {
        let found: Result<Secret, AgentError>
        do throws(SystemFault) {
            // A secret mounted into a container is a link, often readable by a group.
            let file = try Descriptor(unsafe open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), "open", path)
            found = try nonce(in: file, forbidden: 0o027, ownerMatters: false)
        } catch {
            throw AgentError(
                .fileUnreadable, error.observed,
                remedy: "Put the nonce there and let the agent's user (uid \(geteuid())) read it")
        }
        return try found.get()
    }

    func kept(in directory: String, name: String) throws(AgentError) -> Secret {
        let found: Result<Secret, AgentError>
        do throws(SystemFault) {
            let directory = try Directory(directory)
            // Two agents that start at once must not each make one.
            try directory.lock()
            guard try directory.stamp(of: name) != nil else { return try make(in: directory, name) }
            found = try nonce(in: directory.open(name), forbidden: 0o077, ownerMatters: true)
            // The name too must be on the disk before Vault binds the instance to the nonce; the agent that made the file
            // may have been killed before it came to this.
            try directory.synchronise()
        } catch {
            throw AgentError(
                .stateUnwritable, error.observed,
                remedy: "The nonce of ec2 logins must be kept in \(directory): let the agent's user (uid \(geteuid())) "
                    + "read and write it; with systemd, StateDirectory= does")
        }
        return try found.get()
    }

    /// 32 unguessable bytes in hexadecimal.
    private func make(in directory: borrowing Directory, _ name: String) throws(SystemFault) -> Secret {
        let nonce = Secret(text: Secret.random(count: 32).hexadecimal)
        try directory.removeLeftovers { $0 == name }
        try directory.replace(name, with: nonce, rights: .agentOnly)
        return nonce
    }

    private func nonce(
        in file: borrowing Descriptor, forbidden: UInt16, ownerMatters: Bool
    ) throws(SystemFault) -> Result<Secret, AgentError> {
        let stamp = try FileStamp(descriptor: file.number, path: path)
        guard stamp.isRegular else {
            return refusal("\(path) is not a file", remedy: "The nonce must stand in an ordinary file")
        }
        guard stamp.mode & forbidden == 0 else {
            return refusal(
                "\(path) has mode \(octal(stamp.mode)): others can read or write the nonce",
                remedy:
                    "`chmod 0600 \(path)`; who has read the nonce and the identity document can log in as this instance"
            )
        }
        guard !ownerMatters || stamp.owner == geteuid() else {
            return refusal(
                "\(path) belongs to uid \(stamp.owner), the agent runs as uid \(geteuid())",
                remedy: "`chown \(geteuid()) \(path)`, or run the agent as the user that made it")
        }
        // Room for a line's end, in either style.
        guard let content = try file.content(limit: NonceStore.longest + 2, path: path) else { return tooLong }
        return checked(content)
    }

    private func checked(_ content: Secret) -> Result<Secret, AgentError> {
        var bytes = unsafe content.withBytes { unsafe Array($0) }
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        let nonce = Secret(wiping: &bytes)
        guard !nonce.isEmpty else {
            return refusal(
                "\(path) is empty",
                remedy:
                    "Vault takes an empty nonce as the wish never to log in again. Restore the nonce; or, if this instance "
                    + "never logged in, remove the file")
        }
        guard nonce.count <= NonceStore.longest else { return tooLong }
        guard unsafe nonce.withBytes({ bytes in unsafe bytes.allSatisfy { 0x21...0x7E ~= $0 } }) else {
            return refusal(
                "\(path) holds spaces, control characters or other than ASCII",
                remedy: "A nonce is one line of printable ASCII without spaces")
        }
        return .success(nonce)
    }

    private var tooLong: Result<Secret, AgentError> {
        refusal("\(path) is too long", remedy: "A nonce has at most \(NonceStore.longest) bytes")
    }

    private func refusal(_ observed: String, remedy: String) -> Result<Secret, AgentError> {
        .failure(AgentError(code, observed, remedy: remedy))
    }
}
