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

extension JSONValue: JSONTree {
    /// Values in all, keys not counted. A Vault reply with a thousand policies has about as many.
    package static let countLimit = 20_000

    /// Reads the one value that `document` holds, of at most `limit` values in all, keys not counted. A key that stands
    /// twice in an object is refused.
    package init(reading document: Secret, values limit: Int = countLimit) throws(JSONFault) {
        self = try JSONReader.read(document, values: limit)
    }

    package init(_ scalar: JSONScalar, at offset: Int) {
        self =
            switch scalar {
            case .null: .null
            case .boolean(let value): .boolean(value)
            case .number(let number): .number(number)
            case .string(let string): .string(string)
            }
    }

    package init(list: [JSONValue], at offset: Int) {
        self = .array(list)
    }

    package init(members: [JSONMember<JSONValue>], at offset: Int) throws(JSONFault) {
        var object: [String: JSONValue] = [:]
        for member in members where object.updateValue(member.value, forKey: member.key.text) != nil {
            throw JSONFault(offset: member.offset, cause: .repeatedKey)
        }
        self = .object(object)
    }
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
    package let text: String

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
    /// Offset of the first escape in it that is half of a surrogate pair.
    package let halfSurrogate: Int?

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
        var offset = range.lowerBound
        while offset < range.upperBound, let byte = document.byte(at: offset) {
            // The reader has been through it: each escape is whole.
            if byte == UInt8(ascii: "\\"), let escape = try? JSONEscape(in: document, at: offset) {
                builder.append(String(Character(escape.scalar ?? "\u{FFFD}")))
                offset = escape.end
            } else {
                builder.append(byte)
                offset += 1
            }
        }
        return builder.secret()
    }
}
