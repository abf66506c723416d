// Configuration: a text as a tree that remembers where each value stood and every member it was given, for somebody who
// looks for a mistake in a file; and how JSON becomes one. Bounded by ``JSONReader/depthLimit``; the size is bounded by
// whoever reads the bytes.

private import Crypto
internal import Diagnosis
package import SecretJSON

/// A value and the offset of its first byte.
package struct SourceNode: Equatable, Sendable {
    package struct Member: Equatable, Sendable {
        /// Offset of the key's first byte, its quote where it has one.
        package let offset: Int
        package let key: String
        package let node: SourceNode

        package init(offset: Int, key: String, node: SourceNode) {
            self.offset = offset
            self.key = key
            self.node = node
        }
    }

    package enum Value: Equatable, Sendable {
        case null
        case flag(Bool)
        /// As it was written: `0640` is octal in HCL, and no number in JSON.
        case number(String)
        case text(String)
        case list([SourceNode])
        /// In the order given, duplicates included.
        case object([Member])
    }

    package let offset: Int
    package let value: Value

    package init(offset: Int, value: Value) {
        self.offset = offset
        self.value = value
    }
}

extension SourceNode: JSONTree {
    package init(_ scalar: JSONScalar, at offset: Int) throws(JSONFault) {
        self.offset = offset
        value =
            switch scalar {
            case .null: .null
            case .boolean(let flag): .flag(flag)
            case .number(let number): .number(number.text)
            case .string(let string): .text(try string.wholeText)
            }
    }

    package init(list: [SourceNode], at offset: Int) {
        self.init(offset: offset, value: .list(list))
    }

    package init(members: [JSONMember<SourceNode>], at offset: Int) throws(JSONFault) {
        var object: [Member] = []
        for member in members {
            object.append(Member(offset: member.offset, key: try member.key.wholeText, node: member.value))
        }
        self.init(offset: offset, value: .object(object))
    }

    /// The one value that a JSON text holds; a byte order mark before it is skipped.
    package static func read(_ bytes: [UInt8]) throws(TextFault) -> SourceNode {
        let start = try SourceText.start(of: bytes)
        do {
            return try JSONReader.read(Secret(bytes), from: start, values: .max)
        } catch {
            throw TextFault(error, in: bytes)
        }
    }
}

extension JSONString {
    /// Throws where it holds half of a surrogate pair: that is no character.
    fileprivate var wholeText: String {
        get throws(JSONFault) {
            if let halfSurrogate { throw JSONFault(offset: halfSurrogate, cause: .halfSurrogate) }
            return text
        }
    }
}

extension TextFault {
    fileprivate init(_ fault: JSONFault, in bytes: [UInt8]) {
        let offset = fault.offset
        switch fault.cause {
        case .expected(let what):
            self.init(bytes, at: offset, expected: what, remedy: Self.habit(bytes, offset))
        case .leadingZero:
            self.init(
                offset: offset, complaint: "found a number with a leading zero, expected none",
                remedy: "JSON has no octal numbers; put a file mode in quotes: \"0640\"")
        case .controlInString:
            self.init(
                bytes, at: offset, expected: "the string to end on its line",
                remedy: "Close it with \", or write \\n or \\t")
        case .hexadecimal: self.init(bytes, at: offset, expected: "four hexadecimal digits after \\u")
        case .unknownEscape:
            self.init(
                offset: offset, complaint: fault.complaint,
                remedy: "It has \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u with four hexadecimal digits")
        case .endlessString, .halfSurrogate, .depth, .count, .repeatedKey:
            self.init(offset: offset, complaint: fault.complaint)
        }
    }

    /// The habit from other formats that may have put there what stands there.
    private static func habit(_ bytes: [UInt8], _ offset: Int) -> String {
        guard offset < bytes.count else { return "" }
        let before = bytes[..<offset].last { $0 > 0x20 }
        switch bytes[offset] {
        case UInt8(ascii: "#"), UInt8(ascii: "/"): return "JSON has no comments"
        case UInt8(ascii: "'"): return "JSON wants double quotes"
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
            return before == UInt8(ascii: ",") ? "Take away the comma before it" : ""
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"):
            return before == nil
                ? "The file is JSON, in braces; Vault Agent's HCL is not read"
                : "Keys and strings stand in double quotes"
        default: return ""
        }
    }
}

/// Text in double quotes for a message: controls escaped, no password of a URL, cut to 60 bytes and "…".
func quoted(_ text: String) -> String {
    "\"\(printable(text, limit: 63))\""
}

/// The path of a member, for a message: `vault.address`, and `vault["two words"]` where the key would not read as one.
func jsonPath(_ object: String, _ key: String) -> String {
    let isPlain =
        (1...64).contains(key.utf8.count)
        && key.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && !".[]\"\\:".utf8.contains($0) }
    if isPlain { return object.isEmpty ? key : "\(object).\(key)" }
    return "\(object)[\(quoted(key))]"
}
