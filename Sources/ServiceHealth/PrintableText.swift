// ServiceHealth: text from elsewhere made fit for a terminal and bounded in size. Log lines, the status line and the status
// table pass through here: a server's error message must not move the cursor, forge a line or fill a disk.

/// How characters that must not reach a terminal are written.
enum Escaping {
    /// `\n`, `\x1b`, `\u202e`.
    case plain
    /// The same, and `\"` and `\\`.
    case quoted
    /// As JSON writes them.
    case json
}

/// `text` in at most `limit` bytes of UTF-8; cut text ends in "…".
///
/// Escaped are C0, DEL, C1, the line and paragraph separators and the characters that reorder text.
func printable(_ text: String, limit: Int, escaping: Escaping = .plain) -> String {
    let ellipsis = "…"
    var bytes: [UInt8] = []
    // The longest length so far that leaves room for the ellipsis.
    var cut = 0
    for scalar in text.unicodeScalars {
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

private func written(_ scalar: Unicode.Scalar, _ escaping: Escaping) -> String {
    switch scalar {
    case "\n": "\\n"
    case "\r": "\\r"
    case "\t": "\\t"
    case "\"" where escaping != .plain, "\\" where escaping != .plain: "\\\(scalar)"
    case "\0"..."\u{1f}", "\u{7f}"..."\u{9f}":
        escaping == .json
            ? "\\u" + hexadecimal(scalar.value, width: 4) : "\\x" + hexadecimal(scalar.value, width: 2)
    case "\u{2028}", "\u{2029}", "\u{200e}", "\u{200f}", "\u{202a}"..."\u{202e}", "\u{2066}"..."\u{2069}":
        "\\u" + hexadecimal(scalar.value, width: 4)
    default: String(scalar)
    }
}

private func hexadecimal(_ value: UInt32, width: Int) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
}
