// SecretJSON: JSON that holds secrets. A document's strings stay in the secret bytes it came in until they are asked for,
// and text written by it goes into bytes that are wiped.

package import Crypto

/// One value of a JSON document (RFC 8259).
package indirect enum JSONValue: Sendable {
    case null
    case boolean(Bool)
    case number(JSONNumber)
    case string(JSONString)
    case array([JSONValue])
    case object([String: JSONValue])
}

extension JSONValue {
    /// The member of that name; nil where there is none, it is null, or this is no object.
    package subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self, let member = members[name] else { return nil }
        if case .null = member { return nil }
        return member
    }

    package var boolean: Bool? {
        if case .boolean(let value) = self { value } else { nil }
    }

    /// The number, where it is whole and fits 64 bits; `20.0` is whole, `2e1` is not read.
    package var integer: Int64? {
        if case .number(let number) = self { number.integer } else { nil }
    }

    package var string: JSONString? {
        if case .string(let string) = self { string } else { nil }
    }

    package var array: [JSONValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    package var object: [String: JSONValue]? {
        if case .object(let members) = self { members } else { nil }
    }

    /// What it is, for error messages: never what it says.
    package var kind: String {
        switch self {
        case .null: "null"
        case .boolean: "true or false"
        case .number: "a number"
        case .string: "a string"
        case .array: "a list"
        case .object: "an object"
        }
    }
}

/// A number as it was written.
package struct JSONNumber: Sendable {
    let text: String

    var integer: Int64? {
        let parts = text.split(separator: ".", maxSplits: 1)
        guard parts.count == 1 || parts[1].utf8.allSatisfy({ $0 == UInt8(ascii: "0") }) else { return nil }
        return Int64(parts[0])
    }
}

/// A string that still stands in its document's bytes.
package struct JSONString: Sendable {
    let document: Secret
    /// Between the quotes.
    let range: Range<Int>
    let hasEscapes: Bool

    /// An ordinary `String`, which is not wiped; broken UTF-8 and lone surrogates become U+FFFD.
    package var text: String {
        guard hasEscapes else {
            return unsafe document.withBytes { bytes in unsafe String(decoding: bytes[range], as: UTF8.self) }
        }
        return secret.text
    }

    /// The same bytes as a secret of their own.
    package var secret: Secret {
        guard hasEscapes else {
            return unsafe document.withBytes { bytes in
                unsafe Secret(UnsafeRawBufferPointer(rebasing: bytes[range]))
            }
        }
        var builder = SecretBuilder(capacity: range.count)
        var index = range.lowerBound
        while index < range.upperBound {
            let byte = unsafe document.withBytes { bytes in unsafe bytes[index] }
            index += 1
            if byte == UInt8(ascii: "\\") {
                appendEscape(at: &index, to: &builder)
            } else {
                builder.append(byte)
            }
        }
        return builder.secret()
    }

    /// `index` is that of the letter after the backslash. The reader has checked that the escape is whole.
    private func appendEscape(at index: inout Int, to builder: inout SecretBuilder) {
        let letter = unsafe document.withBytes { bytes in unsafe bytes[index] }
        index += 1
        switch letter {
        case UInt8(ascii: "b"): builder.append(8)
        case UInt8(ascii: "t"): builder.append(9)
        case UInt8(ascii: "n"): builder.append(10)
        case UInt8(ascii: "f"): builder.append(12)
        case UInt8(ascii: "r"): builder.append(13)
        case UInt8(ascii: "u"):
            let first = hexadecimal(at: index)
            index += 4
            if 0xD800..<0xDC00 ~= first, let second = lowSurrogate(at: index) {
                index += 6
                builder.append(UTF8.encode(Unicode.Scalar(0x1_0000 + (first - 0xD800) << 10 + (second - 0xDC00))))
            } else {
                builder.append(UTF8.encode(Unicode.Scalar(first)))
            }
        default: builder.append(letter)
        }
    }

    private func lowSurrogate(at index: Int) -> UInt32? {
        guard index + 6 <= range.upperBound else { return nil }
        let isEscape = unsafe document.withBytes { bytes in
            unsafe bytes[index] == UInt8(ascii: "\\") && bytes[index + 1] == UInt8(ascii: "u")
        }
        guard isEscape else { return nil }
        let unit = hexadecimal(at: index + 2)
        return 0xDC00..<0xE000 ~= unit ? unit : nil
    }

    private func hexadecimal(at index: Int) -> UInt32 {
        unsafe document.withBytes { bytes in
            (0..<4).reduce(0) { value, offset in
                unsafe value << 4 | UInt32(Character(Unicode.Scalar(bytes[index + offset])).hexDigitValue ?? 0)
            }
        }
    }
}

extension UTF8 {
    /// U+FFFD for what is no scalar.
    fileprivate static func encode(_ scalar: Unicode.Scalar?) -> [UInt8] {
        Array(String(Character(scalar ?? "\u{FFFD}")).utf8)
    }
}
