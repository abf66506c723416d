// AWSIdentity: a command line taken apart into words as a POSIX shell would, and no more: nothing is expanded.

/// The words of `credential_process`, and of section headings with quoted names.
enum CommandWords {
    struct Fault: Error, Hashable {
        /// "a quotation mark is not closed".
        let complaint: String
    }

    /// Whether only a shell understands the line: a pipe, a redirection, a second command, an expansion, a variable set before
    /// the command. Between single quotes nothing is a sign; between double quotes only `$` and the backquote are.
    static func needsShell(_ line: String) -> Bool {
        var quote: Character?
        var escaped = false
        var previous: Character = " "
        for character in line {
            defer { previous = character }
            if escaped {
                escaped = false
            } else if character == "\\", quote != "'" {
                escaped = true
            } else if character == quote {
                quote = nil
            } else if quote == "'" {
                continue
            } else if "$`".contains(character) {
                return true
            } else if quote != nil {
                continue
            } else if character == "'" || character == "\"" {
                quote = character
            } else if "|&;<>()*?[\n".contains(character) || "~#".contains(character) && previous.isWhitespace {
                return true
            }
        }
        return setsVariable(line)
    }

    /// `NAME=value command`.
    private static func setsVariable(_ line: String) -> Bool {
        let name = line.drop { $0 == " " || $0 == "\t" }.prefix {
            $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_")
        }
        return name.first.map { !$0.isNumber } == true && line[name.endIndex...].hasPrefix("=")
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
