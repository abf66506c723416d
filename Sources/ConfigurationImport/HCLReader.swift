// ConfigurationImport: HCL, as Vault Agent and OpenBao Agent read it (HCL 1), and its JSON form, as one tree with positions.
//
// One reader for both: a JSON file is the same tree written with braces, colons and commas. Bounded: the size by whoever
// reads the bytes, the nesting here.

private import Diagnosis

/// A value and the offset of its first byte.
struct HCLNode: Equatable {
    let offset: Int
    let value: HCLValue
}

indirect enum HCLValue: Equatable {
    case text(String)
    /// As it was written: `0640` is octal in HCL, and no number in JSON.
    case number(String)
    case flag(Bool)
    case null
    case list([HCLNode])
    /// In the order given; a block that stands several times is several members.
    case object([HCLMember])
}

/// `key = value`, or a block: `sink "file" { … }`.
struct HCLMember: Equatable {
    /// Offset of the key.
    let offset: Int
    let key: String
    /// What stands between a block's key and its brace.
    let labels: [String]
    let node: HCLNode
}

/// Why bytes are not HCL or JSON.
struct HCLFault: Error, Equatable {
    let offset: Int
    /// "found the end of the file, expected }".
    let complaint: String
}

struct HCLReader {
    /// Objects and lists inside one another; agents' configurations need 6.
    static let depthLimit = 32
    /// Labels of one block; agents' configurations need 1.
    static let labelLimit = 4

    private let bytes: [UInt8]
    private var index = 0
    private var depth = 0
    /// Whether the file is JSON: there `${` in a string is two characters, and a number may not begin with 0.
    private(set) var isJSON = false

    /// The members of the file. A byte order mark before them is skipped.
    static func read(_ bytes: [UInt8]) throws(HCLFault) -> (members: [HCLMember], isJSON: Bool) {
        do {
            _ = try UTF8Span(validating: bytes.span)
        } catch {
            throw HCLFault(offset: error.byteOffsets.lowerBound, complaint: "not UTF-8")
        }
        var reader = HCLReader(bytes: bytes)
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { reader.index = 3 }
        try reader.skipSpace()
        reader.isJSON = reader.peek == UInt8(ascii: "{")
        let members: [HCLMember]
        if reader.isJSON {
            members = try reader.braced()
            try reader.skipSpace()
        } else {
            members = try reader.members()
        }
        guard reader.peek == nil else { throw reader.fault("expected nothing after the end") }
        return (members, reader.isJSON)
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    // MARK: Members

    /// Up to a closing brace or the end of the file, which is left to the caller.
    private mutating func members() throws(HCLFault) -> [HCLMember] {
        var members: [HCLMember] = []
        while true {
            try skipSpace()
            guard let byte = peek, byte != UInt8(ascii: "}") else { return members }
            members.append(try member())
            try skipSpace()
            _ = take(",")
        }
    }

    private mutating func member() throws(HCLFault) -> HCLMember {
        let start = index
        let key = try key()
        try skipSpace()
        if take("=") || take(":") {
            try skipSpace()
            return HCLMember(offset: start, key: key, labels: [], node: try value())
        }
        var labels: [String] = []
        while let byte = peek, byte != UInt8(ascii: "{") {
            guard byte == UInt8(ascii: "\"") || Self.isWord(byte) else {
                throw fault("expected = or { after \(printable(key, limit: 60))")
            }
            guard labels.count < Self.labelLimit else { throw fault("expected { after \(Self.labelLimit) labels") }
            labels.append(try self.key())
            try skipSpace()
        }
        let block = index
        return HCLMember(
            offset: start, key: key, labels: labels, node: HCLNode(offset: block, value: .object(try braced())))
    }

    private mutating func key() throws(HCLFault) -> String {
        if peek == UInt8(ascii: "\"") { return try string() }
        let start = index
        while let byte = peek, Self.isWord(byte) || (index > start && (byte == 0x2D || byte == 0x2E)) { index += 1 }
        guard index > start else { throw fault("expected a key") }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    private mutating func braced() throws(HCLFault) -> [HCLMember] {
        try descend("{")
        defer { depth -= 1 }
        let members = try members()
        guard take("}") else { throw fault("expected }") }
        return members
    }

    private mutating func descend(_ opening: Unicode.Scalar) throws(HCLFault) {
        guard take(opening) else { throw fault("expected \(opening)") }
        depth += 1
        guard depth <= Self.depthLimit else {
            throw HCLFault(
                offset: index - 1, complaint: "more than \(Self.depthLimit) objects and lists inside one another")
        }
    }

    // MARK: Values

    private mutating func value() throws(HCLFault) -> HCLNode {
        let start = index
        guard let byte = peek else { throw fault("expected a value") }
        switch byte {
        case UInt8(ascii: "\""): return HCLNode(offset: start, value: .text(try string()))
        case UInt8(ascii: "{"): return HCLNode(offset: start, value: .object(try braced()))
        case UInt8(ascii: "["): return HCLNode(offset: start, value: .list(try list()))
        case UInt8(ascii: "<"): return HCLNode(offset: start, value: .text(try heredoc()))
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            index += 1
            while let byte = peek, Self.isWord(byte) || byte == 0x2E || byte == 0x2B || byte == 0x2D { index += 1 }
            return HCLNode(offset: start, value: .number(String(decoding: bytes[start..<index], as: UTF8.self)))
        default: break
        }
        while let byte = peek, Self.isWord(byte) { index += 1 }
        switch String(decoding: bytes[start..<index], as: UTF8.self) {
        case "true": return HCLNode(offset: start, value: .flag(true))
        case "false": return HCLNode(offset: start, value: .flag(false))
        case "null": return HCLNode(offset: start, value: .null)
        default:
            index = start
            throw fault("expected a value: a string in double quotes, a number, true, false, [ or {")
        }
    }

    private mutating func list() throws(HCLFault) -> [HCLNode] {
        try descend("[")
        defer { depth -= 1 }
        var elements: [HCLNode] = []
        while true {
            try skipSpace()
            if take("]") { return elements }
            elements.append(try value())
            try skipSpace()
            guard take(",") || peek == UInt8(ascii: "]") else { throw fault("expected a comma or ]") }
        }
    }

    // MARK: Strings

    private mutating func string() throws(HCLFault) -> String {
        let start = index
        index += 1
        var content: [UInt8] = []
        // Within ${…} a quote does not end the string.
        var braces = 0
        while let byte = peek {
            switch byte {
            case UInt8(ascii: "\"") where braces == 0:
                index += 1
                return String(decoding: content, as: UTF8.self)
            case UInt8(ascii: "\\") where braces == 0:
                content.append(contentsOf: String(Character(try escape())).utf8)
            case UInt8(ascii: "\n") where braces == 0: throw fault("expected the string to end on its line")
            default:
                if !isJSON, byte == UInt8(ascii: "{"), braces > 0 || content.last == UInt8(ascii: "$") { braces += 1 }
                if braces > 0, byte == UInt8(ascii: "}") { braces -= 1 }
                content.append(byte)
                index += 1
            }
        }
        throw HCLFault(offset: start, complaint: "a string that begins here never ends")
    }

    private mutating func escape() throws(HCLFault) -> Unicode.Scalar {
        let start = index
        index += 1
        guard let letter = peek else { throw fault("expected an escape") }
        index += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(letter)
        case UInt8(ascii: "a"): return "\u{7}"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "v"): return "\u{B}"
        case UInt8(ascii: "u"): return try scalar(digits: 4, at: start)
        case UInt8(ascii: "U"): return try scalar(digits: 8, at: start)
        default: throw HCLFault(offset: start, complaint: "an escape that does not exist")
        }
    }

    private mutating func scalar(digits: Int, at start: Int) throws(HCLFault) -> Unicode.Scalar {
        func number(_ reader: inout HCLReader) throws(HCLFault) -> UInt32 {
            let text = String(decoding: reader.bytes[reader.index...].prefix(digits), as: UTF8.self)
            guard text.utf8.count == digits, text.allSatisfy(\.isHexDigit), let number = UInt32(text, radix: 16) else {
                throw reader.fault("expected \(digits) hexadecimal digits")
            }
            reader.index += digits
            return number
        }
        let first = try number(&self)
        if let scalar = Unicode.Scalar(first) { return scalar }
        let half = HCLFault(offset: start, complaint: "half of a surrogate pair")
        guard first < 0xDC00, take("\\"), take("u") else { throw half }
        let second = try number(&self)
        guard (0xDC00...0xDFFF).contains(second),
            let scalar = Unicode.Scalar(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
        else { throw half }
        return scalar
    }

    /// `<<EOF` or `<<-EOF`, the lines up to one that is EOF alone.
    private mutating func heredoc() throws(HCLFault) -> String {
        let start = index
        index += 1
        guard take("<") else { throw fault("expected <<") }
        let isIndented = take("-")
        let end = line().trimmed
        guard !end.isEmpty, end.allSatisfy({ Self.isWord($0) }) else {
            throw HCLFault(offset: start, complaint: "found << without a word to end at")
        }
        var lines: [ArraySlice<UInt8>] = []
        while index < bytes.count {
            let text = line()
            if text.trimmed.elementsEqual(end) {
                let cut = isIndented ? lines.map { $0.prefix { $0 == 0x20 || $0 == 0x09 }.count }.min() ?? 0 : 0
                return lines.map { String(decoding: $0.dropFirst(cut), as: UTF8.self) + "\n" }.joined()
            }
            lines.append(text)
        }
        throw HCLFault(offset: start, complaint: "a text that begins here never ends")
    }

    /// The rest of the line, and past its end.
    private mutating func line() -> ArraySlice<UInt8> {
        let rest = bytes[index...].prefix { $0 != UInt8(ascii: "\n") }
        index = min(rest.endIndex + 1, bytes.count)
        return rest
    }

    // MARK: Bytes

    private var peek: UInt8? {
        index < bytes.count ? bytes[index] : nil
    }

    /// ASCII letters, digits and the underscore.
    static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: scalar) else { return false }
        index += 1
        return true
    }

    /// Spaces, line breaks and comments.
    private mutating func skipSpace() throws(HCLFault) {
        while let byte = peek {
            switch byte {
            case 0x20, 0x09, 0x0A, 0x0D: index += 1
            case UInt8(ascii: "#"): _ = line()
            case UInt8(ascii: "/"):
                let start = index
                switch index + 1 < bytes.count ? bytes[index + 1] : 0 {
                case UInt8(ascii: "/"): _ = line()
                case UInt8(ascii: "*"):
                    guard let end = bytes[(index + 2)...].firstRange(of: Array("*/".utf8)) else {
                        throw HCLFault(offset: start, complaint: "a comment that begins here never ends")
                    }
                    index = end.upperBound
                default: return
                }
            default: return
            }
        }
    }

    private func fault(_ expected: String) -> HCLFault {
        let found: String
        switch peek {
        case nil: found = "the end of the file"
        case UInt8(ascii: "\n"), UInt8(ascii: "\r"): found = "the end of the line"
        case .some:
            // A character, not half of one.
            found = printable(String(decoding: bytes[index...].prefix(8), as: UTF8.self).prefix(1))
        }
        return HCLFault(offset: index, complaint: "found \(found), \(expected)")
    }
}

extension ArraySlice<UInt8> {
    fileprivate var trimmed: ArraySlice<UInt8> {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }
        return drop(while: isBlank).dropLast(while: isBlank)
    }

    private func dropLast(while predicate: (UInt8) -> Bool) -> ArraySlice<UInt8> {
        var rest = self
        while let last = rest.last, predicate(last) { rest.removeLast() }
        return rest
    }
}
