import Diagnosis
import Testing

@Suite("Text from elsewhere")
struct PrintableTextTests {
    @Test(
        "cannot break a line, move a cursor, change the direction of writing or hide",
        arguments: [
            ("plain ✓ text", "plain ✓ text"), ("a\nb\r\u{1B}[31m", #"a\nb\r\x1b[31m"#),
            ("\u{202E}evil\u{2028}", #"\u202eevil\u2028"#), ("a\u{200B}b\u{AD}c", #"a\u200bb\u00adc"#),
            ("\u{E0001}", #"\udb40\udc01"#), ("a\u{9B}b\u{7F}\0", #"a\x9bb\x7f\x00"#), (#"a"\b"#, #"a"\b"#),
        ])
    func controls(text: String, shown: String) {
        #expect(printable(text) == shown)
    }

    @Test("is bounded in bytes, an escape never cut in two")
    func bounds() {
        #expect(printable(String(repeating: "x", count: 300)) == String(repeating: "x", count: 197) + "…")
        for limit in 0...20 {
            let shown = printable("ab\u{202E}cd\néé", limit: limit)
            #expect(shown.utf8.count <= limit)
        }
        #expect(printable("ab\u{202E}cd", limit: 8) == "ab…")
    }

    @Test("in quotes and in JSON")
    func quoted() {
        #expect(printable("a\"b\\\u{1}", escaping: .quoted) == #"a\"b\\\x01"#)
        #expect(printable("a\"b\\\u{1}", escaping: .json) == #"a\"b\\\u0001"#)
    }

    @Test(
        "shows no password of a URL",
        arguments: [
            (
                "no https://user:hunter2@host:1/x or http://hunter2@b",
                "no https://(secret)@host:1/x or http://(secret)@b"
            ),
            ("\"socks5h://u:hunter2/3@proxy\"", "\"socks5h://(secret)@proxy\""),
            ("https://u:hunter2@x@host", "https://(secret)@host"), ("https://host/a", "https://host/a"),
            ("mail to a@b.example", "mail to a@b.example"), ("a://b://u:hunter2@c", "a://(secret)@c"),
        ])
    func passwords(text: String, shown: String) {
        #expect(printable(text) == shown)
    }

    @Test(
        "meant for a URL shows no password even where it is none, and nothing of a query",
        arguments: [
            ("user:hunter2@host:8200", "(secret)@host:8200"), ("https://u:hun ter2@host/", "https://(secret)@host/"),
            ("https://host/x?token=hunter2", "https://host/x?(secret)"), ("https://host/x?", "https://host/x?"),
            ("https//u:hunter2?@h", "(secret)@h"), ("vault.example", "vault.example"), ("", ""),
        ])
    func urls(text: String, shown: String) {
        #expect(printable(url: text) == shown)
    }
}
