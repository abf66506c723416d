// Diagnosis: text from elsewhere (files, variables, replies, commands) made fit to be shown: bounded, on one line, without
// what moves a terminal's cursor or turns the direction of writing, and without the passwords of URLs. Every foreign text
// that reaches an error, the log, the status file or a terminal passes through here.

/// How characters that must not reach a terminal are written.
package enum Escaping: Sendable {
    /// `\n`, `\x1b`, `\u202e`.
    case plain
    /// The same, and `\"` and `\\`.
    case quoted
    /// As JSON writes them.
    case json
}

/// `text` in at most `limit` bytes of UTF-8; cut text ends in "…".
///
/// Escaped are controls, formats (they reorder and hide text), line and paragraph separators, and what is no character.
/// Of `https://user:password@host` the part before the `@` is left out.
package func printable(_ text: some StringProtocol, limit: Int = 200, escaping: Escaping = .plain) -> String {
    shown(Substring(text), limit, escaping)
}

private func shown(_ text: Substring, _ limit: Int, _ escaping: Escaping) -> String {
    if text.utf8.count <= limit, text.utf8.allSatisfy({ isPlain($0, escaping) }), !hasURL(text) { return String(text) }
    let ellipsis = "…"
    var bytes: [UInt8] = []
    // The longest length so far that leaves room for the ellipsis.
    var cut = 0
    for scalar in withoutUserInformation(text).unicodeScalars {
        let piece = written(scalar, escaping).utf8
        if bytes.count + piece.count > limit {
            let fits = ellipsis.utf8.count <= limit
            return String(decoding: bytes.prefix(cut), as: UTF8.self) + (fits ? ellipsis : "")
        }
        bytes += piece
        if bytes.count + ellipsis.utf8.count <= limit { cut = bytes.count }
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// A text that is meant for a URL, whether it is one or not: without whatever stands before an `@`, and without what a
/// query says.
package func printable(url text: some StringProtocol, limit: Int = 200) -> String {
    var shown = String(text)
    if let at = shown.lastIndex(of: "@") {
        let scheme = shown.firstOccurrence(of: "://").map { shown[..<$0.upperBound] } ?? ""
        shown = scheme + omitted + shown[at...]
    }
    if let mark = shown.firstIndex(of: "?"), shown.index(after: mark) < shown.endIndex {
        shown = shown[...mark] + omitted
    }
    return printable(shown, limit: limit)
}

private let omitted = "(secret)"

/// What stands between `://` and the last `@` of the same word is left out. A password may hold what should have been
/// encoded, a slash too: so the word counts, not the authority.
private func withoutUserInformation(_ text: Substring) -> String {
    guard hasURL(text) else { return String(text) }
    var result = ""
    var rest = text
    while let mark = rest.firstOccurrence(of: "://") {
        result += rest[..<mark.upperBound]
        rest = rest[mark.upperBound...]
        let word = rest.prefix { !$0.isWhitespace && $0 != "\"" }
        if let at = word.lastIndex(of: "@") {
            result += omitted
            rest = rest[at...]
        }
    }
    return result + rest
}

private func hasURL(_ text: Substring) -> Bool {
    text.firstOccurrence(of: "://") != nil
}

/// Whether a byte is ASCII that stays as it is.
private func isPlain(_ byte: UInt8, _ escaping: Escaping) -> Bool {
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"): escaping == .plain
    default: 0x20...0x7E ~= byte
    }
}

private func written(_ scalar: Unicode.Scalar, _ escaping: Escaping) -> String {
    switch scalar {
    case "\n": return "\\n"
    case "\r": return "\\r"
    case "\t": return "\\t"
    case "\"" where escaping != .plain, "\\" where escaping != .plain: return "\\\(scalar)"
    case " "..."~": return String(scalar)
    case "\0"..."\u{1f}", "\u{7f}"..."\u{9f}":
        return escaping == .json
            ? "\\u" + hexadecimal(scalar.value, width: 4) : "\\x" + hexadecimal(scalar.value, width: 2)
    default: break
    }
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned, .privateUse:
        return scalar.utf16.map { "\\u" + hexadecimal(UInt32($0), width: 4) }.joined()
    default: return String(scalar)
    }
}

private func hexadecimal(_ value: UInt32, width: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}
