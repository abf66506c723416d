// VaultAPI: what a server says in words, made fit to be matched, logged and shown: bounded, on one line, without secrets.

internal import Crypto
internal import Diagnosis
internal import HTTPClient
internal import SecretJSON

/// The words of a reply that is an error.
struct AnswerText {
    /// On one line, without markup, control characters and secrets; a few thousand characters at most.
    let text: String
    /// ``text`` in lower case, as bytes: a hundred rows are matched against it.
    private let lowercase: [UInt8]
    /// The body is Vault's `{"errors": […]}`, not a page that a proxy made.
    let isVaults: Bool

    /// `sent`: the secrets that went out with the request; servers like to repeat what they got.
    init(_ reply: HTTPReply, sent: [Secret]) {
        let errors = (try? JSONValue(reading: reply.body))?["errors"]?.array
        isVaults = errors != nil
        if let errors {
            text = Self.clean(errors.compactMap(\.string?.text).joined(separator: "; "), without: sent)
        } else {
            text = Self.clean(reply.body, without: sent)
        }
        lowercase = Array(text.lowercased().utf8)
    }

    /// Whether these words occur; give them in lower case.
    func says(_ words: String) -> Bool {
        let wanted = words.utf8
        guard let first = wanted.first, wanted.count <= lowercase.count else { return wanted.isEmpty }
        return (0...lowercase.count - wanted.count).contains { start in
            lowercase[start] == first && lowercase[start..<start + wanted.count].elementsEqual(wanted)
        }
    }

    /// The first 200 characters, in quotes; "an empty reply" for none.
    var quoted: String {
        text.isEmpty ? "an empty reply" : "\"\(Self.cut(text, to: 200))\""
    }

    /// Any text of the server's, fit to be logged.
    static func clean(_ text: String, without secrets: [Secret]) -> String {
        clean(Secret(text: text), without: secrets)
    }

    static func cut(_ text: String, to limit: Int) -> String {
        text.count <= limit ? text : text.prefix(limit) + "…"
    }

    /// Bytes that are looked at: the 200 that are shown, and any secret that begins among them.
    private static let byteLimit = 16_384

    private static func clean(_ raw: Secret, without secrets: [Secret]) -> String {
        var bytes = unsafe raw.withBytes { bytes in unsafe Array(bytes.prefix(byteLimit)) }
        for secret in secrets { remove(secret, from: &bytes) }
        let visible = String(decoding: bytes, as: UTF8.self)
        return onOneLine(withoutTokens(withoutMarkup(visible)))
    }

    // MARK: Secrets

    private static let placeholder = Array("(secret)".utf8)

    private static func remove(_ secret: Secret, from bytes: inout [UInt8]) {
        // Shorter ones would take ordinary words with them.
        guard secret.count >= 4 else { return }
        unsafe secret.withBytes { needle in
            var start = 0
            while start + needle.count <= bytes.count {
                if unsafe bytes[start..<start + needle.count].elementsEqual(needle) {
                    bytes.replaceSubrange(start..<start + needle.count, with: placeholder)
                    start += placeholder.count
                } else {
                    start += 1
                }
            }
        }
    }

    /// Whatever looks like a token: Vault's prefixes, a JSON Web Token, or a run of letters and digits that no word is.
    private static func withoutTokens(_ text: String) -> String {
        var result = ""
        var word = ""
        func wordEnded() {
            result += looksLikeToken(word) ? "(secret)" : word
            word = ""
        }
        for character in text {
            if character.isASCII, character.isLetter || character.isNumber || "._-+/=%".contains(character) {
                word.append(character)
            } else {
                wordEnded()
                result.append(character)
            }
        }
        wordEnded()
        return result
    }

    private static func looksLikeToken(_ word: String) -> Bool {
        guard word.utf8.count >= 20 else { return false }
        let prefixes = ["hvs.", "hvb.", "hvr.", "s.", "b.", "r."]
        if prefixes.contains(where: { word.hasPrefix($0) }) { return true }
        // "nonce=hvs.CAES…" is one word.
        if ["hvs.", "hvb.", "hvr.", "=s.", "=b.", "=r.", "eyJ"].contains(where: { word.holds($0) }),
            word.utf8.count >= 24
        {
            return true
        }
        return word.split(whereSeparator: { "./-".contains($0) }).contains { $0.utf8.count >= 40 }
    }

    // MARK: Form

    /// STS answers in XML and proxies in HTML: their words, without the tags.
    private static func withoutMarkup(_ text: String) -> String {
        var result = ""
        var rest = Substring(text)
        while let open = rest.firstIndex(of: "<") {
            result += rest[..<open]
            let inside = rest[rest.index(after: open)...]
            if let first = inside.first, first.isLetter || "/!?".contains(first),
                let close = inside.prefix(300).firstIndex(of: ">")
            {
                result += " "
                rest = inside[inside.index(after: close)...]
            } else {
                result += "<"
                rest = inside
            }
        }
        return result + rest
    }

    private static func onOneLine(_ text: String) -> String {
        var result = ""
        var gap = false
        for scalar in text.unicodeScalars {
            switch scalar {
            case " ", "\n", "\r", "\t":
                gap = !result.isEmpty
                continue
            default: break
            }
            if gap { result += " " }
            gap = false
            result.unicodeScalars.append(scalar)
        }
        return printable(result, limit: .max)
    }
}
