// SecretJSON: the words of a JSON text (RFC 8259), each with its place. Strings and numbers stay in the secret bytes.

internal import Crypto

/// Goes through a document's bytes from the first to the last, and takes up one word after another.
struct JSONTokenizer {
    private let document: Secret
    /// Of the byte at hand.
    private(set) var offset: Int

    init(_ document: Secret, from offset: Int) {
        self.document = document
        self.offset = offset
    }

    /// The byte at hand; nil at the end.
    var next: UInt8? {
        document.byte(at: offset)
    }

    mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { offset += 1 }
    }

    /// Whether that character stands here; it is then passed.
    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        offset += 1
        return true
    }

    mutating func takeAfterSpace(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        return take(character)
    }

    mutating func take(word: StaticString) -> Bool {
        let letters = Array(word.description.utf8)
        guard letters.indices.allSatisfy({ document.byte(at: offset + $0) == letters[$0] }) else { return false }
        offset += letters.count
        return true
    }

    /// The string whose opening quote is at hand.
    mutating func string() throws(JSONFault) -> JSONString {
        let start = offset
        var hasEscapes = false
        var halfSurrogate: Int?
        offset += 1
        skipPlainCharacters()
        while let byte = next, byte != UInt8(ascii: "\"") {
            guard byte == UInt8(ascii: "\\") else { throw fault(.controlInString) }
            let escape = try JSONEscape(in: document, at: offset)
            if escape.scalar == nil, halfSurrogate == nil { halfSurrogate = offset }
            hasEscapes = true
            offset = escape.end
            skipPlainCharacters()
        }
        guard take("\"") else { throw JSONFault(offset: start, cause: .endlessString) }
        return JSONString(
            document: document, range: start + 1..<offset - 1, hasEscapes: hasEscapes, halfSurrogate: halfSurrogate)
    }

    /// To the first byte within a string that is not just one of its characters: a quote, a backslash, a control character.
    /// Most of a document's bytes are such characters, so they are not asked for one by one.
    private mutating func skipPlainCharacters() {
        offset = unsafe document.withBytes { bytes in
            let rest = unsafe bytes[min(offset, bytes.count)...]
            return unsafe rest.firstIndex { $0 < 0x20 || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }
                ?? bytes.count
        }
    }

    mutating func number() throws(JSONFault) -> JSONNumber {
        let start = offset
        _ = take("-")
        if take("0") {
            if isDigit { throw JSONFault(offset: start, cause: .leadingZero) }
        } else {
            try digits()
        }
        if take(".") { try digits() }
        if take("e") || take("E") {
            if !take("-") { _ = take("+") }
            try digits()
        }
        let range = start..<offset
        return JSONNumber(
            text: unsafe document.withBytes { bytes in unsafe String(decoding: bytes[range], as: UTF8.self) })
    }

    private mutating func digits() throws(JSONFault) {
        guard isDigit else { throw expected("a digit") }
        while isDigit { offset += 1 }
    }

    var isDigit: Bool {
        if let next { UInt8(ascii: "0")...UInt8(ascii: "9") ~= next } else { false }
    }

    func expected(_ what: String) -> JSONFault {
        fault(.expected(what))
    }

    func fault(_ cause: JSONFault.Cause) -> JSONFault {
        JSONFault(offset: offset, cause: cause)
    }
}

/// One escape within a string.
struct JSONEscape {
    /// What it stands for; nil for half of a surrogate pair.
    let scalar: Unicode.Scalar?
    /// Offset of what comes after it.
    let end: Int

    /// - Parameter start: Offset of the backslash.
    init(in document: Secret, at start: Int) throws(JSONFault) {
        let letter = document.byte(at: start + 1)
        if letter == UInt8(ascii: "u") {
            self = try Self.numbered(in: document, at: start)
            return
        }
        end = start + 2
        switch letter {
        case UInt8(ascii: "b"): scalar = "\u{8}"
        case UInt8(ascii: "t"): scalar = "\t"
        case UInt8(ascii: "n"): scalar = "\n"
        case UInt8(ascii: "f"): scalar = "\u{C}"
        case UInt8(ascii: "r"): scalar = "\r"
        case UInt8(ascii: "\""): scalar = "\""
        case UInt8(ascii: "\\"): scalar = "\\"
        case UInt8(ascii: "/"): scalar = "/"
        default: throw JSONFault(offset: start, cause: .unknownEscape)
        }
    }

    private init(_ scalar: Unicode.Scalar?, end: Int) {
        self.scalar = scalar
        self.end = end
    }

    /// `\u20ac`, or `\ud83d\ude00`, which are one character.
    private static func numbered(in document: Secret, at start: Int) throws(JSONFault) -> JSONEscape {
        let first = try unit(in: document, at: start + 2)
        if 0xD800..<0xDC00 ~= first, document.byte(at: start + 6) == UInt8(ascii: "\\"),
            document.byte(at: start + 7) == UInt8(ascii: "u")
        {
            let second = try unit(in: document, at: start + 8)
            if 0xDC00..<0xE000 ~= second {
                return JSONEscape(
                    Unicode.Scalar(0x1_0000 + (first - 0xD800) << 10 + (second - 0xDC00)), end: start + 12)
            }
        }
        return JSONEscape(Unicode.Scalar(first), end: start + 6)
    }

    private static func unit(in document: Secret, at start: Int) throws(JSONFault) -> UInt32 {
        var unit: UInt32 = 0
        for offset in start..<start + 4 {
            guard let byte = document.byte(at: offset), let digit = Character(Unicode.Scalar(byte)).hexDigitValue
            else { throw JSONFault(offset: offset, cause: .hexadecimal) }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
    }
}

extension Secret {
    /// Nil past the end.
    func byte(at offset: Int) -> UInt8? {
        unsafe withBytes { bytes in unsafe offset < bytes.count ? bytes[offset] : nil }
    }
}
