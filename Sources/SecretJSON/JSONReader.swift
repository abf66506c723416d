// SecretJSON: the reader, of one document into whichever tree its caller needs. Bounded in depth and in number of values;
// the caller bounds the size.

package import Crypto

/// What a document is read into. `offset` is always that of a value's first byte.
package protocol JSONTree: Sendable {
    init(_ scalar: JSONScalar, at offset: Int) throws(JSONFault)
    init(list: [Self], at offset: Int)
    /// Members come in the order in which they stand, also where a key stands twice.
    init(members: [JSONMember<Self>], at offset: Int) throws(JSONFault)
}

/// A value that holds no others.
package enum JSONScalar: Sendable {
    case null
    case boolean(Bool)
    case number(JSONNumber)
    case string(JSONString)
}

/// `"key": value`.
package struct JSONMember<Tree: JSONTree>: Sendable {
    /// Offset of the key's opening quote.
    package let offset: Int
    package let key: JSONString
    package let value: Tree
}

/// Reads one JSON text (RFC 8259).
package struct JSONReader {
    /// Objects and lists inside one another. Vault's deepest reply has 5, the configuration 8.
    package static let depthLimit = 32

    private var tokens: JSONTokenizer
    private var depth = 0
    private var values = 0
    private let limit: Int

    /// The one value that `document` holds from `start` on, of at most `limit` values in all, keys not counted.
    package static func read<Tree: JSONTree>(
        _ document: Secret, from start: Int = 0, values limit: Int, as tree: Tree.Type = Tree.self
    ) throws(JSONFault) -> Tree {
        var reader = JSONReader(tokens: JSONTokenizer(document, from: start), limit: limit)
        let value: Tree = try reader.value()
        reader.tokens.skipSpace()
        guard reader.tokens.next == nil else { throw reader.tokens.expected("nothing after the end of the value") }
        return value
    }

    private init(tokens: JSONTokenizer, limit: Int) {
        self.tokens = tokens
        self.limit = limit
    }

    private mutating func value<Tree: JSONTree>() throws(JSONFault) -> Tree {
        tokens.skipSpace()
        values += 1
        guard values <= limit else { throw tokens.fault(.count(limit)) }
        let start = tokens.offset
        switch tokens.next {
        case UInt8(ascii: "{"):
            try descend()
            let members: [JSONMember<Tree>] = try members()
            depth -= 1
            return try Tree(members: members, at: start)
        case UInt8(ascii: "["):
            try descend()
            let elements: [Tree] = try elements()
            depth -= 1
            return Tree(list: elements, at: start)
        default: return try Tree(try scalar(), at: start)
        }
    }

    private mutating func scalar() throws(JSONFault) -> JSONScalar {
        if tokens.next == UInt8(ascii: "\"") { return .string(try tokens.string()) }
        if tokens.isDigit || tokens.next == UInt8(ascii: "-") { return .number(try tokens.number()) }
        if tokens.take(word: "true") { return .boolean(true) }
        if tokens.take(word: "false") { return .boolean(false) }
        if tokens.take(word: "null") { return .null }
        throw tokens.expected("a value")
    }

    private mutating func descend() throws(JSONFault) {
        depth += 1
        guard depth <= Self.depthLimit else { throw tokens.fault(.depth(Self.depthLimit)) }
        _ = tokens.take("{") || tokens.take("[")
    }

    private mutating func members<Tree: JSONTree>() throws(JSONFault) -> [JSONMember<Tree>] {
        var members: [JSONMember<Tree>] = []
        if tokens.takeAfterSpace("}") { return members }
        while true {
            tokens.skipSpace()
            let start = tokens.offset
            guard tokens.next == UInt8(ascii: "\"") else {
                throw tokens.expected(members.isEmpty ? "a key in double quotes or }" : "a key in double quotes")
            }
            let key = try tokens.string()
            guard tokens.takeAfterSpace(":") else { throw tokens.expected("a colon after the key") }
            members.append(JSONMember(offset: start, key: key, value: try value()))
            if tokens.takeAfterSpace("}") { return members }
            guard tokens.take(",") else { throw tokens.expected("a comma or }") }
        }
    }

    private mutating func elements<Tree: JSONTree>() throws(JSONFault) -> [Tree] {
        var elements: [Tree] = []
        if tokens.takeAfterSpace("]") { return elements }
        while true {
            elements.append(try value())
            if tokens.takeAfterSpace("]") { return elements }
            guard tokens.take(",") else { throw tokens.expected("a comma or ]") }
        }
    }
}
