// ConfigurationImport: a configuration of this agent's own, being written.

/// JSON as people read it. No value of it is a secret.
package enum ConfigurationDocument: Hashable, Sendable {
    package struct Member: Hashable, Sendable {
        package let key: String
        package let value: ConfigurationDocument
    }

    case text(String)
    case flag(Bool)
    case list([ConfigurationDocument])
    case object([Member])

    /// With two spaces for each level and a line break at its end.
    package var json: String {
        written(at: "") + "\n"
    }

    private func written(at indent: String) -> String {
        let inner = indent + "  "
        switch self {
        case .text(let text): return Self.quoted(text)
        case .flag(let flag): return flag ? "true" : "false"
        case .list(let elements) where elements.isEmpty: return "[]"
        case .list(let elements):
            return "[\n" + elements.map { inner + $0.written(at: inner) }.joined(separator: ",\n") + "\n\(indent)]"
        case .object(let members) where members.isEmpty: return "{}"
        case .object(let members):
            let lines = members.map { inner + Self.quoted($0.key) + ": " + $0.value.written(at: inner) }
            return "{\n" + lines.joined(separator: ",\n") + "\n\(indent)}"
        }
    }

    private static func quoted(_ text: String) -> String {
        var written = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": written += "\\\""
            case "\\": written += "\\\\"
            case "\0"..."\u{1f}", "\u{7f}":
                let digits = String(scalar.value, radix: 16)
                written += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: written.unicodeScalars.append(scalar)
            }
        }
        return written + "\""
    }
}

/// The members of an object in the order in which they were added; what is nil is left out.
package struct ObjectBuilder {
    private var members: [ConfigurationDocument.Member] = []

    package init() {}

    package mutating func add(_ key: String, _ value: ConfigurationDocument?) {
        if let value { members.append(ConfigurationDocument.Member(key: key, value: value)) }
    }

    package mutating func add(_ key: String, _ text: String?) {
        add(key, text.map { .text($0) })
    }

    /// Nothing where there are no members.
    package mutating func add(_ key: String, _ object: ObjectBuilder) {
        if !object.members.isEmpty { add(key, object.document) }
    }

    package var document: ConfigurationDocument {
        .object(members)
    }
}
