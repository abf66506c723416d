// TokenSinks: the bytes that applications read: bare token, JSON or environment file. They go into memory that is wiped.

internal import Crypto
internal import Diagnosis
internal import SecretJSON
internal import Timekeeping

/// What a sink holds: the bytes, and which token they hand on.
struct Rendering: Sendable {
    /// The token, or the wrapping token. Another one makes it a rotation.
    let token: Secret
    let bytes: Secret
    let format: TokenFormat

    /// Largest content of a sink: a token with hundreds of policies is far below it, and it fits a socket's buffer whole.
    static let limit = 64 << 10

    /// Throws `configurationInvalid` for a content that the format cannot carry; `internalFault` where the sink wraps
    /// and the content holds no wrapping token: the token itself must not take its place.
    init(_ content: TokenContent, format: TokenFormat, newline: Bool, wraps: Bool) throws(AgentError) {
        let wrapping = wraps ? content.wrapping : nil
        guard wraps == (wrapping != nil) else {
            throw AgentError(.internalFault, "a sink with wrap_ttl was given a token that is not wrapped")
        }
        token = wrapping?.token ?? content.token
        self.format = format
        switch format {
        case .token: bytes = lines([token], newline: newline)
        case .json: bytes = lines([wrapping.map(object) ?? object(content)], newline: true)
        case .env:
            var assignments = [try assignment("VAULT_TOKEN", token)]
            assignments.append(try assignment("VAULT_ADDR", Secret(text: content.vaultAddress)))
            if !content.vaultNamespace.isEmpty {
                assignments.append(try assignment("VAULT_NAMESPACE", Secret(text: content.vaultNamespace)))
            }
            bytes = lines(assignments, newline: newline)
        }
        guard bytes.count <= Self.limit else {
            throw AgentError(
                .configurationInvalid, "the content of a sink is \(bytes.count) bytes, more than \(Self.limit)",
                remedy: "Use the format \"token\", or a role with fewer policies and less metadata")
        }
    }
}

private func lines(_ texts: [Secret], newline: Bool) -> Secret {
    var builder = SecretBuilder(capacity: texts.reduce(0) { $0 + $1.count + 1 })
    for (position, text) in texts.enumerated() {
        if position > 0 { builder.append("\n") }
        builder.append(text)
    }
    if newline { builder.append("\n") }
    return builder.secret()
}

// MARK: JSON

/// The names are those of Vault's own replies.
private func object(_ content: TokenContent) -> Secret {
    var object = JSONObjectWriter(capacity: 1_024)
    object.add("token", content.token)
    object.add("accessor", content.accessor)
    object.add("policies", content.policies)
    object.add("metadata", content.metadata)
    // Vault says 0 for a token that does not expire.
    object.add("lease_duration", content.leaseDuration?.components.seconds ?? 0)
    object.add("renewable", content.renewable)
    object.add("issue_time", content.issuedAt.rfc3339)
    if let expiry = content.expiresAt {
        object.add("expire_time", expiry.rfc3339)
    } else {
        object.addNull("expire_time")
    }
    object.add("vault_addr", content.vaultAddress)
    object.add("vault_namespace", content.vaultNamespace)
    return object.finish()
}

/// Vault's `wrap_info`, as Vault Agent writes it.
private func object(_ wrapping: WrappedToken) -> Secret {
    var object = JSONObjectWriter(capacity: 512)
    object.add("token", wrapping.token)
    object.add("accessor", wrapping.accessor)
    object.add("ttl", wrapping.timeToLive.components.seconds)
    object.add("creation_time", wrapping.createdAt.rfc3339)
    object.add("creation_path", wrapping.creationPath)
    object.add("wrapped_accessor", wrapping.wrappedAccessor)
    return object.finish()
}

// MARK: Environment files

/// `NAME=value`, in double quotes where it holds anything that systemd's EnvironmentFile or a shell would take for
/// something else. What Vault issues needs no quotes, so that readers that know of none (Docker's) are content too.
private func assignment(_ name: String, _ value: Secret) throws(AgentError) -> Secret {
    // SAFETY: the bytes are read within the closures only.
    guard unsafe value.withBytes({ unsafe $0.allSatisfy { $0 >= 0x20 && $0 != 0x7F } }) else {
        throw AgentError(
            .configurationInvalid, "\(name) would hold a control character, which an environment file cannot carry",
            remedy: "Use the format \"token\" or \"json\"")
    }
    var builder = SecretBuilder(capacity: name.utf8.count + 2 * value.count + 3)
    builder.append(name)
    builder.append("=")
    if unsafe value.withBytes({ unsafe $0.allSatisfy(isPlain) }) {
        builder.append(value)
    } else {
        builder.append("\"")
        unsafe value.withBytes { bytes in
            for index in bytes.indices {
                let byte = unsafe bytes[index]
                if "\"\\`$".utf8.contains(byte) { builder.append("\\") }
                builder.append(byte)
            }
        }
        builder.append("\"")
    }
    return builder.secret()
}

/// A character without a meaning of its own in environment files and shells.
private func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        true
    default: "._-:/@%+,=".utf8.contains(byte)
    }
}
