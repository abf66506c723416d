// Configuration: JSON text (RFC 8259) as a tree that remembers where each value stood and every member it was given.
//
// SecretJSON's reader, made for replies, keeps neither positions nor repeated keys, and never shows what it found; all
// three matter to somebody who looks for a mistake in a file. Bounded by ``JSONReader/depthLimit``; the size is bounded
// by whoever reads the bytes.

internal import Diagnosis

/// A value and the offset of its first byte.
struct JSONNode: Equatable {
    let offset: Int
    let value: JSONValue
}

struct JSONMember: Equatable {
    /// Offset of the key's opening quote.
    let offset: Int
    let key: String
    let node: JSONNode
}

enum JSONValue: Equatable {
    case null
    case flag(Bool)
    /// As it was written.
    case number(String)
    case text(String)
    case list([JSONNode])
    /// In the order given, duplicates included.
    case object([JSONMember])
}

/// Why bytes are not JSON.
struct JSONFault: Error, Equatable {
    let offset: Int
    /// "found a comma, expected a value".
    let complaint: String
    var remedy = ""
}

/// Reads one JSON text from bytes.
struct JSONReader {
    /// Objects and arrays inside one another; the configuration itself needs 8.
    static let depthLimit = 32

    private let bytes: [UInt8]
    private var index = 0
    private var depth = 0

    /// The one value that the bytes hold; a byte order mark before it is skipped.
    static func read(_ bytes: [UInt8]) throws(JSONFault) -> JSONNode {
        do {
            _ = try UTF8Span(validating: bytes.span)
        } catch {
            throw JSONFault(
                offset: error.byteOffsets.lowerBound, complaint: "not UTF-8",
                remedy: "Save the file in UTF-8")
        }
        var reader = JSONReader(bytes: bytes)
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { reader.index = 3 }
        let node = try reader.value()
        reader.skipSpace()
        if reader.index < bytes.count {
            throw reader.fault("expected nothing after the end of the value", "")
        }
        return node
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    // MARK: Values

    private mutating func value() throws(JSONFault) -> JSONNode {
        skipSpace()
        let start = index
        switch peek {
        case UInt8(ascii: "{"): return JSONNode(offset: start, value: .object(try members()))
        case UInt8(ascii: "["): return JSONNode(offset: start, value: .list(try elements()))
        case UInt8(ascii: "\""): return JSONNode(offset: start, value: .text(try string()))
        case UInt8(ascii: "-"): return JSONNode(offset: start, value: .number(try number()))
        default: break
        }
        if isDigit { return JSONNode(offset: start, value: .number(try number())) }
        for (word, value) in [("true", JSONValue.flag(true)), ("false", .flag(false)), ("null", .null)]
        where bytes[index...].starts(with: word.utf8) {
            index += word.utf8.count
            return JSONNode(offset: start, value: value)
        }
        throw fault("expected a value")
    }

    private mutating func members() throws(JSONFault) -> [JSONMember] {
        try descend()
        defer { depth -= 1 }
        var members: [JSONMember] = []
        skipSpace()
        if take("}") { return members }
        while true {
            skipSpace()
            let start = index
            guard peek == UInt8(ascii: "\"") else {
                throw fault(
                    members.isEmpty ? "expected a key in double quotes or }" : "expected a key in double quotes")
            }
            let key = try string()
            skipSpace()
            guard take(":") else { throw fault("expected a colon after the key \(quoted(key))") }
            members.append(JSONMember(offset: start, key: key, node: try value()))
            skipSpace()
            if take("}") { return members }
            guard take(",") else { throw fault("expected a comma or }") }
        }
    }

    private mutating func elements() throws(JSONFault) -> [JSONNode] {
        try descend()
        defer { depth -= 1 }
        var elements: [JSONNode] = []
        skipSpace()
        if take("]") { return elements }
        while true {
            elements.append(try value())
            skipSpace()
            if take("]") { return elements }
            guard take(",") else { throw fault("expected a comma or ]") }
        }
    }

    private mutating func descend() throws(JSONFault) {
        depth += 1
        guard depth <= Self.depthLimit else {
            throw JSONFault(
                offset: index, complaint: "more than \(Self.depthLimit) objects and arrays inside one another")
        }
        index += 1
    }

    private mutating func number() throws(JSONFault) -> String {
        let start = index
        _ = take("-")
        if take("0") {
            if isDigit {
                throw JSONFault(
                    offset: start, complaint: "found a number with a leading zero, expected none",
                    remedy: "JSON has no octal numbers; put a file mode in quotes: \"0640\"")
            }
        } else {
            try digits()
        }
        if take(".") { try digits() }
        if take("e") || take("E") {
            if !take("-") { _ = take("+") }
            try digits()
        }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    private mutating func digits() throws(JSONFault) {
        guard isDigit else { throw fault("expected a digit") }
        while isDigit { index += 1 }
    }

    // MARK: Strings

    private mutating func string() throws(JSONFault) -> String {
        let start = index
        index += 1
        var content: [UInt8] = []
        while let byte = peek {
            switch byte {
            case UInt8(ascii: "\""):
                index += 1
                return String(decoding: content, as: UTF8.self)
            case UInt8(ascii: "\\"):
                let scalar = try escape()
                content.append(contentsOf: String(Character(scalar)).utf8)
            case 0..<0x20:
                throw fault(
                    "expected the string to end on its line", "Close it with \", or write \\n or \\t")
            default:
                content.append(byte)
                index += 1
            }
        }
        throw JSONFault(offset: start, complaint: "a string that begins here never ends")
    }

    private mutating func escape() throws(JSONFault) -> Unicode.Scalar {
        let start = index
        index += 1
        guard let letter = peek else { throw fault("expected an escape") }
        index += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(letter)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): break
        default:
            throw JSONFault(
                offset: start, complaint: "an escape that JSON does not have",
                remedy: "It has \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u with four hexadecimal digits")
        }
        let first = try fourHexDigits()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard first < 0xDC00, take("\\"), take("u") else {
            throw JSONFault(offset: start, complaint: "half of a surrogate pair")
        }
        let second = try fourHexDigits()
        guard (0xDC00...0xDFFF).contains(second),
            let scalar = Unicode.Scalar(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
        else { throw JSONFault(offset: start, complaint: "half of a surrogate pair") }
        return scalar
    }

    private mutating func fourHexDigits() throws(JSONFault) -> UInt32 {
        var number: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw fault("expected four hexadecimal digits after \\u")
            }
            number = number << 4 + UInt32(digit)
            index += 1
        }
        return number
    }

    // MARK: Bytes

    private var peek: UInt8? {
        index < bytes.count ? bytes[index] : nil
    }

    private var isDigit: Bool {
        peek.map { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ?? false
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: scalar) else { return false }
        index += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { index += 1 }
    }

    // MARK: Complaints

    /// A fault at the next byte; says what stands there and guesses why.
    private func fault(_ expected: String, _ remedy: String? = nil) -> JSONFault {
        let (found, guess) = finding
        return JSONFault(offset: index, complaint: "found \(found), \(expected)", remedy: remedy ?? guess)
    }

    /// What stands at the next byte, and the habit from other formats that may have put it there.
    private var finding: (found: String, remedy: String) {
        guard let byte = peek else { return ("the end of the file", "") }
        switch byte {
        case UInt8(ascii: "#"): return ("#", "JSON has no comments")
        case UInt8(ascii: "/"): return ("/", "JSON has no comments")
        case UInt8(ascii: "'"): return ("'", "JSON wants double quotes")
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
            let before = bytes[..<index].last { $0 > 0x20 }
            return (character, before == UInt8(ascii: ",") ? "Take away the comma before it" : "")
        case UInt8(ascii: "\n"), UInt8(ascii: "\r"): return ("the end of the line", "")
        case 0..<0x20: return ("a control character", "")
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"):
            let word = bytes[index...].prefix(20).prefix { $0 >= UInt8(ascii: "A") && $0 <= UInt8(ascii: "z") }
            let text = String(decoding: word, as: UTF8.self)
            return (
                "\(text)",
                depth == 0
                    ? "The file is JSON, in braces; Vault Agent's HCL is not read"
                    : "Keys and strings stand in double quotes"
            )
        default: return (character, "")
        }
    }

    /// The character at the next byte.
    private var character: String {
        String(String(decoding: bytes[index...].prefix(4), as: UTF8.self).prefix(1))
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
