// SecretJSON: the writer of small JSON objects into bytes that are wiped.

package import Crypto

/// Writes one JSON object, member by member, in the order of the calls.
package struct JSONObjectWriter: ~Copyable {
    private var builder: SecretBuilder
    private var isFirst = true

    package init(capacity: Int = 256) {
        builder = SecretBuilder(capacity: capacity)
        builder.append("{")
    }

    package mutating func add(_ name: String, _ text: String) {
        begin(name)
        quote(text.utf8)
    }

    package mutating func add(_ name: String, _ secret: Secret) {
        begin(name)
        unsafe secret.withBytes { bytes in unsafe quote(bytes) }
    }

    /// The bytes as a base64 string.
    package mutating func add(_ name: String, base64 secret: Secret) {
        begin(name)
        builder.append("\"")
        builder.appendBase64(of: secret)
        builder.append("\"")
    }

    package mutating func add(_ name: String, base64 text: String) {
        add(name, base64: Secret(text: text))
    }

    package mutating func add(_ name: String, _ number: Int64) {
        begin(name)
        builder.append(String(number))
    }

    package mutating func add(_ name: String, _ flag: Bool) {
        begin(name)
        builder.append(flag ? "true" : "false")
    }

    package mutating func add(_ name: String, _ texts: [String]) {
        begin(name)
        builder.append("[")
        for (position, text) in texts.enumerated() {
            if position > 0 { builder.append(",") }
            quote(text.utf8)
        }
        builder.append("]")
    }

    /// An object of strings, in the order of their names.
    package mutating func add(_ name: String, _ members: [String: String]) {
        begin(name)
        builder.append("{")
        for (position, member) in members.sorted(by: { $0.key < $1.key }).enumerated() {
            if position > 0 { builder.append(",") }
            quote(member.key.utf8)
            builder.append(":")
            quote(member.value.utf8)
        }
        builder.append("}")
    }

    package mutating func addNull(_ name: String) {
        begin(name)
        builder.append("null")
    }

    /// Ends the object.
    package consuming func finish() -> Secret {
        builder.append("}")
        return builder.secret()
    }

    private mutating func begin(_ name: String) {
        if !isFirst { builder.append(",") }
        isFirst = false
        quote(name.utf8)
        builder.append(":")
    }

    private mutating func quote(_ bytes: some Sequence<UInt8>) {
        builder.append("\"")
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                builder.append(UInt8(ascii: "\\"))
                builder.append(byte)
            case 0..<0x20:
                builder.append("\\u00")
                builder.append(byte < 16 ? "0" : "1")
                builder.append(String(byte & 15, radix: 16))
            default: builder.append(byte)
            }
        }
        builder.append("\"")
    }
}
