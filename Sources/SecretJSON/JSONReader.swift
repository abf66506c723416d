// SecretJSON: the reader. Bounded in depth and in number of values; the caller bounds the size. Says where it stopped,
// never what stood there.

package import Crypto

/// Why bytes are not a JSON document.
package struct JSONFault: Error, Hashable, Sendable {
    /// Offset of the byte that does not fit.
    package let offset: Int
    /// "expected a comma or }".
    package let complaint: String
}

extension JSONValue {
    /// Objects and arrays inside one another. Vault's deepest reply has 5.
    package static let depthLimit = 32
    /// Values in all, keys not counted. A Vault reply with a thousand policies has about as many.
    package static let countLimit = 20_000

    /// Reads the one value that `document` holds, of at most `limit` values in all, keys not counted. A key that stands
    /// twice in an object is refused.
    package init(reading document: Secret, values limit: Int = countLimit) throws(JSONFault) {
        var reader = JSONReader(document: document, limit: limit)
        self = try reader.document()
    }
}

private struct JSONReader {
    private let source: Secret
    private var index = 0
    private var depth = 0
    private var values = 0
    private let limit: Int

    init(document: Secret, limit: Int) {
        source = document
        self.limit = limit
    }

    mutating func document() throws(JSONFault) -> JSONValue {
        let value = try value()
        skipSpace()
        guard index == source.count else { throw fault("expected nothing after the value") }
        return value
    }

    private mutating func value() throws(JSONFault) -> JSONValue {
        values += 1
        guard values <= limit else { throw fault("more than \(limit) values") }
        skipSpace()
        switch peek {
        case UInt8(ascii: "{"): return .object(try nested { reader throws(JSONFault) in try reader.members() })
        case UInt8(ascii: "["): return .array(try nested { reader throws(JSONFault) in try reader.elements() })
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .boolean(true))
        case UInt8(ascii: "f"): return try word("false", .boolean(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default:
            guard isDigit || peek == UInt8(ascii: "-") else { throw fault("expected a value") }
            return .number(try number())
        }
    }

    private mutating func nested<Contents>(
        _ read: (inout JSONReader) throws(JSONFault) -> Contents
    ) throws(JSONFault) -> Contents {
        depth += 1
        guard depth <= JSONValue.depthLimit else {
            throw fault("more than \(JSONValue.depthLimit) objects and lists inside one another")
        }
        index += 1
        let contents = try read(&self)
        depth -= 1
        return contents
    }

    private mutating func members() throws(JSONFault) -> [String: JSONValue] {
        var members: [String: JSONValue] = [:]
        if takeAfterSpace("}") { return members }
        while true {
            skipSpace()
            guard peek == UInt8(ascii: "\"") else { throw fault("expected a key") }
            let key = try string().text
            guard takeAfterSpace(":") else { throw fault("expected a colon") }
            guard members.updateValue(try value(), forKey: key) == nil else { throw fault("a key stands twice") }
            if takeAfterSpace("}") { return members }
            guard takeAfterSpace(",") else { throw fault("expected a comma or }") }
        }
    }

    private mutating func elements() throws(JSONFault) -> [JSONValue] {
        var elements: [JSONValue] = []
        if takeAfterSpace("]") { return elements }
        while true {
            elements.append(try value())
            if takeAfterSpace("]") { return elements }
            guard takeAfterSpace(",") else { throw fault("expected a comma or ]") }
        }
    }

    private mutating func string() throws(JSONFault) -> JSONString {
        index += 1
        let start = index
        var hasEscapes = false
        while let byte = peek, byte != UInt8(ascii: "\"") {
            guard byte >= 0x20 else { throw fault("expected no control character in a string") }
            index += 1
            if byte == UInt8(ascii: "\\") {
                hasEscapes = true
                try escape()
            }
        }
        guard take("\"") else { throw fault("expected the end of a string") }
        return JSONString(document: source, range: start..<index - 1, hasEscapes: hasEscapes)
    }

    private mutating func escape() throws(JSONFault) {
        guard let letter = peek, "\"\\/bfnrtu".utf8.contains(letter) else { throw fault("expected an escape") }
        index += 1
        guard letter == UInt8(ascii: "u") else { return }
        for _ in 0..<4 {
            guard let digit = peek, Character(Unicode.Scalar(digit)).isHexDigit else {
                throw fault("expected four hexadecimal digits")
            }
            index += 1
        }
    }

    private mutating func number() throws(JSONFault) -> JSONNumber {
        let start = index
        _ = take("-")
        if !take("0") { try digits() }
        if take(".") { try digits() }
        if take("e") || take("E") {
            if !take("-") { _ = take("+") }
            try digits()
        }
        let text = unsafe source.withBytes { bytes in unsafe String(decoding: bytes[start..<index], as: UTF8.self) }
        return JSONNumber(text: text)
    }

    private mutating func digits() throws(JSONFault) {
        guard isDigit else { throw fault("expected a digit") }
        while isDigit { index += 1 }
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONFault) -> JSONValue {
        for letter in word.description.utf8 {
            guard peek == letter else { throw fault("expected a value") }
            index += 1
        }
        return value
    }

    // MARK: Bytes

    /// The byte at hand; nil at the end.
    private var peek: UInt8? {
        unsafe source.withBytes { bytes in unsafe index < bytes.count ? bytes[index] : nil }
    }

    private var isDigit: Bool {
        if let byte = peek { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte } else { false }
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { index += 1 }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    private mutating func takeAfterSpace(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        return take(character)
    }

    private func fault(_ complaint: String) -> JSONFault {
        JSONFault(offset: index, complaint: complaint)
    }
}
