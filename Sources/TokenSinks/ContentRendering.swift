// TokenSinks: the bytes that applications read: bare token, JSON or environment file.
//
// Written by hand into a buffer that is wiped, not by a JSON coder, which would leave copies of the token behind.

internal import Crypto
internal import Diagnosis
internal import Timekeeping

/// What a sink holds: the bytes, and which token they hand on.
struct Rendering: Sendable {
    /// The token, or the wrapping token. Another one makes it a rotation.
    let token: Secret
    let bytes: Secret

    /// Largest content of a sink: a token with hundreds of policies is far below it, and it goes into a socket's buffer
    /// in one piece.
    static let limit = 64 << 10

    /// Throws `internalFault` where the sink wraps and the content holds no wrapping token; `configurationInvalid` for a
    /// content that the format cannot carry.
    init(_ content: TokenContent, format: TokenFormat, newline: Bool, wraps: Bool) throws(AgentError) {
        var token = content.token
        if wraps {
            guard let wrapping = content.wrapping else {
                throw AgentError(.internalFault, "a sink with wrap_ttl was given a token that is not wrapped")
            }
            token = wrapping.token
        }
        self.token = token
        var text = SecretText(capacity: Self.capacity(content))
        switch format {
        case .token:
            text.append(token)
            if newline { text.append("\n") }
        case .json:
            if wraps, let wrapping = content.wrapping {
                text.appendJSON(wrapping)
            } else {
                text.appendJSON(content)
            }
            text.append("\n")
        case .env:
            try text.appendAssignment("VAULT_TOKEN", token)
            text.append("\n")
            try text.appendAssignment("VAULT_ADDR", Secret(text: content.vaultAddress))
            if !content.vaultNamespace.isEmpty {
                text.append("\n")
                try text.appendAssignment("VAULT_NAMESPACE", Secret(text: content.vaultNamespace))
            }
            if newline { text.append("\n") }
        }
        bytes = text.finish()
        guard bytes.count <= Self.limit else {
            throw AgentError(
                .configurationInvalid, "the content of a sink is \(bytes.count) bytes, more than \(Self.limit)",
                remedy: "Use the format \"token\", or a role with fewer policies and less metadata")
        }
    }

    /// Enough for the content in any format, so that the buffer never grows and leaves a copy behind.
    private static func capacity(_ content: TokenContent) -> Int {
        var characters = content.token.count + content.accessor.utf8.count + content.vaultAddress.utf8.count
        characters += content.vaultNamespace.utf8.count
        characters += content.policies.reduce(0) { $0 + $1.utf8.count + 1 }
        characters += content.metadata.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count + 2 }
        if let wrapping = content.wrapping {
            characters += wrapping.token.count + wrapping.accessor.utf8.count + wrapping.creationPath.utf8.count
            characters += wrapping.wrappedAccessor.utf8.count
        }
        // A control character takes six in JSON.
        return 6 * characters + 512
    }
}

/// Text with a secret in it, on its way into a ``Secret``.
private struct SecretText: ~Copyable {
    private var bytes: [UInt8] = []

    init(capacity: Int) {
        bytes.reserveCapacity(capacity)
    }

    mutating func append(_ text: StaticString) {
        unsafe bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func append(_ secret: Secret) {
        unsafe secret.withBytes { unsafe bytes.append(contentsOf: $0) }
    }

    /// Wipes what was collected.
    mutating func finish() -> Secret {
        Secret(wiping: &bytes)
    }

    // MARK: JSON

    /// The names are those of Vault's own replies.
    mutating func appendJSON(_ content: TokenContent) {
        append("{\"token\":")
        unsafe content.token.withBytes { unsafe appendString($0) }
        append(",\"accessor\":")
        appendString(content.accessor.utf8)
        append(",\"policies\":[")
        for (index, policy) in content.policies.enumerated() {
            if index > 0 { append(",") }
            appendString(policy.utf8)
        }
        append("],\"metadata\":{")
        for (index, entry) in content.metadata.sorted(by: { $0.key < $1.key }).enumerated() {
            if index > 0 { append(",") }
            appendString(entry.key.utf8)
            append(":")
            appendString(entry.value.utf8)
        }
        // Vault says 0 for a token that does not expire.
        append("},\"lease_duration\":")
        appendNumber(content.leaseDuration)
        append(",\"renewable\":")
        append(content.renewable ? "true" : "false")
        append(",\"issue_time\":")
        appendString(content.issuedAt.rfc3339.utf8)
        append(",\"expire_time\":")
        if let expiry = content.expiresAt { appendString(expiry.rfc3339.utf8) } else { append("null") }
        append(",\"vault_addr\":")
        appendString(content.vaultAddress.utf8)
        append(",\"vault_namespace\":")
        appendString(content.vaultNamespace.utf8)
        append("}")
    }

    /// Vault's `wrap_info`, as Vault Agent writes it.
    mutating func appendJSON(_ wrapping: WrappedToken) {
        append("{\"token\":")
        unsafe wrapping.token.withBytes { unsafe appendString($0) }
        append(",\"accessor\":")
        appendString(wrapping.accessor.utf8)
        append(",\"ttl\":")
        appendNumber(wrapping.timeToLive)
        append(",\"creation_time\":")
        appendString(wrapping.createdAt.rfc3339.utf8)
        append(",\"creation_path\":")
        appendString(wrapping.creationPath.utf8)
        append(",\"wrapped_accessor\":")
        appendString(wrapping.wrappedAccessor.utf8)
        append("}")
    }

    private mutating func appendNumber(_ duration: Duration?) {
        bytes.append(contentsOf: String(duration?.components.seconds ?? 0).utf8)
    }

    private mutating func appendString(_ characters: some Sequence<UInt8>) {
        append("\"")
        for character in characters {
            switch character {
            case UInt8(ascii: "\""): append("\\\"")
            case UInt8(ascii: "\\"): append("\\\\")
            case 0..<0x20, 0x7F:
                append("\\u00")
                for digit in [character >> 4, character & 15] {
                    bytes.append(digit + (digit < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10))
                }
            default: bytes.append(character)
            }
        }
        append("\"")
    }

    // MARK: Environment files

    /// `NAME=value`, in double quotes where it holds anything that systemd's EnvironmentFile or a shell would take for
    /// something else. What Vault issues needs no quotes, so that readers that know of none (Docker's) are content too.
    mutating func appendAssignment(_ name: StaticString, _ value: Secret) throws(AgentError) {
        append(name)
        append("=")
        // SAFETY: the bytes are read within the closures only.
        let hasControl = unsafe value.withBytes { unsafe $0.contains { $0 < 0x20 || $0 == 0x7F } }
        guard !hasControl else {
            throw AgentError(
                .configurationInvalid, "\(name) holds a control character, which an environment file cannot carry",
                remedy: "Use the format \"token\" or \"json\"")
        }
        if unsafe value.withBytes({ unsafe $0.allSatisfy(isPlain) }) {
            append(value)
            return
        }
        append("\"")
        unsafe value.withBytes { characters in
            for index in characters.indices {
                let character = unsafe characters[index]
                if "\"\\`$".utf8.contains(character) { bytes.append(UInt8(ascii: "\\")) }
                bytes.append(character)
            }
        }
        append("\"")
    }
}

/// A character without a meaning of its own in environment files and shells.
private func isPlain(_ character: UInt8) -> Bool {
    switch character {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        true
    default: "._-:/@%+,=".utf8.contains(character)
    }
}
