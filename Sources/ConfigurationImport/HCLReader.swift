// ConfigurationImport: HCL, as Vault Agent and OpenBao Agent read it (HCL 1), and its JSON form, as one tree with positions:
// a block `sink "file" { … }` is what JSON writes as `"sink": {"file": {…}}`.
//
// Bounded: the size by whoever reads the bytes, the nesting here.

internal import Configuration
private import Diagnosis

/// Reads HCL; a text that begins with a brace is JSON, as Vault Agent has it.
struct HCLReader {
    /// Objects and lists inside one another; agents' configurations need 6.
    static let depthLimit = 32
    /// Labels of one block; agents' configurations need 1.
    static let labelLimit = 4

    private let bytes: [UInt8]
    private var index = 0
    private var depth = 0

    /// The members of the file. A byte order mark before them is skipped.
    static func read(_ bytes: [UInt8]) throws(TextFault) -> (members: [SourceNode.Member], isJSON: Bool) {
        var reader = HCLReader(bytes: bytes)
        reader.index = try SourceText.start(of: bytes)
        try reader.skipSpace()
        if reader.peek == UInt8(ascii: "{") {
            guard case .object(let members) = try SourceNode.read(bytes).value else { return ([], true) }
            return (members, true)
        }
        let members = try reader.members()
        guard reader.peek == nil else { throw reader.fault("nothing after the end") }
        return (members, false)
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    // MARK: Members

    /// Up to a closing brace or the end of the file, which is left to the caller.
    private mutating func members() throws(TextFault) -> [SourceNode.Member] {
        var members: [SourceNode.Member] = []
        while true {
            try skipSpace()
            guard let byte = peek, byte != UInt8(ascii: "}") else { return members }
            members.append(try member())
            try skipSpace()
            _ = take(",")
        }
    }

    private mutating func member() throws(TextFault) -> SourceNode.Member {
        let start = index
        let key = try key()
        try skipSpace()
        if take("=") || take(":") {
            try skipSpace()
            return SourceNode.Member(offset: start, key: key, node: try value())
        }
        var labels: [(offset: Int, text: String)] = []
        while let byte = peek, byte != UInt8(ascii: "{") {
            guard byte == UInt8(ascii: "\"") || Self.isWord(byte) else {
                throw fault("= or { after \(printable(key, limit: 60))")
            }
            guard labels.count < Self.labelLimit else { throw fault("{ after \(Self.labelLimit) labels") }
            labels.append((index, try self.key()))
            try skipSpace()
        }
        var node = SourceNode(offset: index, value: .object(try braced()))
        for label in labels.reversed() {
            let member = SourceNode.Member(offset: label.offset, key: label.text, node: node)
            node = SourceNode(offset: label.offset, value: .object([member]))
        }
        return SourceNode.Member(offset: start, key: key, node: node)
    }

    private mutating func key() throws(TextFault) -> String {
        if peek == UInt8(ascii: "\"") { return try string() }
        let start = index
        while let byte = peek, Self.isWord(byte) || (index > start && (byte == 0x2D || byte == 0x2E)) { index += 1 }
        guard index > start else { throw fault("a key") }
        return String(decoding: bytes[start..<index], as: UTF8.self)
    }

    private mutating func braced() throws(TextFault) -> [SourceNode.Member] {
        try descend("{")
        defer { depth -= 1 }
        let members = try members()
        guard take("}") else { throw fault("}") }
        return members
    }

    private mutating func descend(_ opening: Unicode.Scalar) throws(TextFault) {
        guard take(opening) else { throw fault("\(opening)") }
        depth += 1
        guard depth <= Self.depthLimit else {
            throw TextFault(
                offset: index - 1, complaint: "more than \(Self.depthLimit) objects and lists inside one another")
        }
    }

    // MARK: Values

    private mutating func value() throws(TextFault) -> SourceNode {
        let start = index
        guard let byte = peek else { throw fault("a value") }
        switch byte {
        case UInt8(ascii: "\""): return SourceNode(offset: start, value: .text(try string()))
        case UInt8(ascii: "{"): return SourceNode(offset: start, value: .object(try braced()))
        case UInt8(ascii: "["): return SourceNode(offset: start, value: .list(try list()))
        case UInt8(ascii: "<"): return SourceNode(offset: start, value: .text(try heredoc()))
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            index += 1
            while let byte = peek, Self.isWord(byte) || byte == 0x2E || byte == 0x2B || byte == 0x2D { index += 1 }
            return SourceNode(offset: start, value: .number(String(decoding: bytes[start..<index], as: UTF8.self)))
        default: break
        }
        while let byte = peek, Self.isWord(byte) { index += 1 }
        switch String(decoding: bytes[start..<index], as: UTF8.self) {
        case "true": return SourceNode(offset: start, value: .flag(true))
        case "false": return SourceNode(offset: start, value: .flag(false))
        case "null": return SourceNode(offset: start, value: .null)
        default:
            index = start
            throw fault("a value: a string in double quotes, a number, true, false, [ or {")
        }
    }

    private mutating func list() throws(TextFault) -> [SourceNode] {
        try descend("[")
        defer { depth -= 1 }
        var elements: [SourceNode] = []
        while true {
            try skipSpace()
            if take("]") { return elements }
            elements.append(try value())
            try skipSpace()
            guard take(",") || peek == UInt8(ascii: "]") else { throw fault("a comma or ]") }
        }
    }

    // MARK: Strings

    private mutating func string() throws(TextFault) -> String {
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
            case UInt8(ascii: "\n") where braces == 0: throw fault("the string to end on its line")
            default:
                if byte == UInt8(ascii: "{"), braces > 0 || content.last == UInt8(ascii: "$") { braces += 1 }
                if braces > 0, byte == UInt8(ascii: "}") { braces -= 1 }
                content.append(byte)
                index += 1
            }
        }
        throw TextFault(offset: start, complaint: "a string that begins here never ends")
    }

    private mutating func escape() throws(TextFault) -> Unicode.Scalar {
        let start = index
        index += 1
        guard let letter = peek else { throw fault("an escape") }
        index += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): return Unicode.Scalar(letter)
        case UInt8(ascii: "a"): return "\u{7}"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "v"): return "\u{B}"
        case UInt8(ascii: "u"): return try scalar(digits: 4)
        case UInt8(ascii: "U"): return try scalar(digits: 8)
        default: throw TextFault(offset: start, complaint: "an escape that does not exist")
        }
    }

    /// HCL has no surrogate pairs: it writes a character of more than four digits by `\U`.
    private mutating func scalar(digits: Int) throws(TextFault) -> Unicode.Scalar {
        let text = String(decoding: bytes[index...].prefix(digits), as: UTF8.self)
        guard text.utf8.count == digits, text.allSatisfy(\.isHexDigit), let number = UInt32(text, radix: 16) else {
            throw fault("\(digits) hexadecimal digits")
        }
        guard let scalar = Unicode.Scalar(number) else { throw fault("the number of a character") }
        index += digits
        return scalar
    }

    /// `<<EOF` or `<<-EOF`, the lines up to one that is EOF alone.
    private mutating func heredoc() throws(TextFault) -> String {
        let start = index
        index += 1
        guard take("<") else { throw fault("<<") }
        let isIndented = take("-")
        let end = line().trimmed
        guard !end.isEmpty, end.allSatisfy({ Self.isWord($0) }) else {
            throw TextFault(offset: start, complaint: "found << without a word to end at")
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
        throw TextFault(offset: start, complaint: "a text that begins here never ends")
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
    private mutating func skipSpace() throws(TextFault) {
        while let byte = peek {
            switch byte {
            case 0x20, 0x09, 0x0A, 0x0D: index += 1
            case UInt8(ascii: "#"): _ = line()
            case UInt8(ascii: "/"):
                let start = index
                switch index + 1 < bytes.count ? bytes[index + 1] : 0 {
                case UInt8(ascii: "/"): _ = line()
                case UInt8(ascii: "*"):
                    let comment = bytes[(index + 2)...]
                    guard let length = comment.span.firstOffset(of: "*/".utf8.span) else {
                        throw TextFault(offset: start, complaint: "a comment that begins here never ends")
                    }
                    index += length + 4
                default: return
                }
            default: return
            }
        }
    }

    private func fault(_ expected: String) -> TextFault {
        TextFault(bytes, at: index, expected: expected)
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
