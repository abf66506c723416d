// SecretJSON: documents without secrets, as text laid out for people.

/// A JSON value to be written. Members stand in the order given.
package indirect enum JSONText: Sendable {
    case flag(Bool)
    case number(Int)
    case text(String)
    case list([JSONText])
    /// A list whose elements are made while it is written, one at a time: all at once they would be many times the text.
    case elements(count: Int, @Sendable (Int) -> JSONText)
    case object([(name: String, value: JSONText)])

    /// An object of those members that have a value.
    package static func object(_ members: KeyValuePairs<String, JSONText?>) -> JSONText {
        .object(members.compactMap { name, value in value.map { (name, $0) } })
    }

    /// Indented by two spaces a level, with a newline at the end.
    package var laidOut: String {
        var text = ""
        append(to: &text, indent: "\n")
        return text + "\n"
    }

    private func append(to text: inout String, indent: String) {
        switch self {
        case .flag(let flag): text += flag ? "true" : "false"
        case .number(let number): text += String(number)
        case .text(let string): Self.append(quoted: string, to: &text)
        case .list(let elements):
            Self.append(elements, between: "[", "]", to: &text, indent: indent) { element, text, indent in
                element.append(to: &text, indent: indent)
            }
        case .elements(let count, let element):
            Self.append(0..<count, between: "[", "]", to: &text, indent: indent) { position, text, indent in
                element(position).append(to: &text, indent: indent)
            }
        case .object(let members):
            Self.append(members, between: "{", "}", to: &text, indent: indent) { member, text, indent in
                Self.append(quoted: member.name, to: &text)
                text += ": "
                member.value.append(to: &text, indent: indent)
            }
        }
    }

    private static func append<Items: Collection>(
        _ items: Items, between start: String, _ end: String, to text: inout String, indent: String,
        _ append: (Items.Element, inout String, String) -> Void
    ) {
        text += start
        for (position, item) in items.enumerated() {
            text += position > 0 ? "," : ""
            text += indent + "  "
            append(item, &text, indent + "  ")
        }
        text += items.isEmpty ? end : indent + end
    }

    private static func append(quoted string: String, to text: inout String) {
        text += "\""
        defer { text += "\"" }
        // Most need nothing, and go over as a whole.
        if string.utf8.allSatisfy({ 0x20...0x7E ~= $0 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) {
            text += string
            return
        }
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"", "\\": text += "\\\(scalar)"
            // The second run too, so that a terminal shows it as it is.
            case "\0"..."\u{1f}", "\u{7f}"..."\u{9f}":
                text += scalar.value < 16 ? "\\u000" : "\\u00"
                text += String(scalar.value, radix: 16)
            default: text.unicodeScalars.append(scalar)
            }
        }
    }
}
