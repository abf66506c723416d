// AWSIdentity: a command line taken apart into words as a POSIX shell would, and no more: nothing is expanded.

/// The words of `credential_process`, and of section headings with quoted names.
enum CommandWords {
    struct Fault: Error, Hashable {
        /// "a quotation mark is not closed".
        let complaint: String
    }

    static func split(_ line: String) throws(Fault) -> [String] {
        var words: [String] = []
        var word = ""
        // A word may have begun and be empty: `''`.
        var begun = false
        var quote: Character?
        var escaped = false
        for character in line {
            if escaped {
                // Between double quotes only these two can be escaped; before others the backslash is itself.
                if quote != nil, character != "\"", character != "\\" { word.append("\\") }
                word.append(character)
                escaped = false
            } else if character == "\\", quote != "'" {
                begun = true
                escaped = true
            } else if character == quote {
                quote = nil
            } else if quote != nil {
                word.append(character)
            } else if character == "'" || character == "\"" {
                begun = true
                quote = character
            } else if " \t\r\n\r\n".contains(character) {
                if begun { words.append(word) }
                word = ""
                begun = false
            } else {
                begun = true
                word.append(character)
            }
        }
        if quote != nil { throw Fault(complaint: "a quotation mark is not closed") }
        if escaped { throw Fault(complaint: "it ends in a backslash") }
        if begun { words.append(word) }
        return words
    }
}
