// AWSIdentity: the INI dialect of AWS's files, as the AWS CLI reads it: comments, continuation lines, nested settings.

internal import Diagnosis

/// One file's sections. Keys are in lower case; a key or section that stands twice is refused.
struct INIDocument: Sendable {
    struct Section: Sendable {
        var values: [String: String] = [:]
        /// Settings inside a setting: `sts =` followed by indented lines.
        var nested: [String: [String: String]] = [:]
    }

    /// Longest file taken: 1 MiB. An organisation with a thousand profiles needs about 200 KiB.
    static let sizeLimit = 1 << 20

    private(set) var sections: [String: Section] = [:]

    /// - Parameter path: Names the file in errors.
    init(_ bytes: [UInt8], path: String) throws(AgentError) {
        var reader = INIReader(path: path)
        for line in Self.lines(bytes) { try reader.take(line) }
        sections = try reader.finish()
    }

    /// Ends of lines: `\n`, `\r\n`, `\r`. A byte order mark of UTF-8 is passed over.
    private static func lines(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
        let text = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes[...]
        var lines: [ArraySlice<UInt8>] = []
        var start = text.startIndex
        var index = start
        while index < text.endIndex {
            let byte = text[index]
            if byte == 0x0A || byte == 0x0D {
                lines.append(text[start..<index])
                if byte == 0x0D, index + 1 < text.endIndex, text[index + 1] == 0x0A { index += 1 }
                start = index + 1
            }
            index += 1
        }
        lines.append(text[start...])
        return lines
    }
}

private struct INIReader {
    /// A setting that may still grow by continuation lines.
    private struct Setting {
        let key: String
        let indent: Int
        var lines: [(number: Int, text: String)]
    }

    private let path: String
    private var number = 0
    /// Those that have ended.
    private var sections: [String: INIDocument.Section] = [:]
    /// The settings of `[DEFAULT]`, in capitals, stand in every section that does not have them.
    private static let defaultsName = "DEFAULT"
    /// The section at hand; nil before the first.
    private var name: String?
    private var section = INIDocument.Section()
    private var setting: Setting?

    init(path: String) {
        self.path = path
    }

    mutating func take(_ bytes: ArraySlice<UInt8>) throws(AgentError) {
        number += 1
        guard let line = String(validating: bytes, as: UTF8.self) else {
            let hint = number == 1 && (bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]))
            throw fault(hint ? "is UTF-16" : "is not UTF-8", expected: "a file in UTF-8")
        }
        guard !line.unicodeScalars.contains(where: { $0.value < 0x20 && $0 != "\t" || $0.value == 0x7F }) else {
            throw fault("has a control character", expected: "text")
        }
        let text = line.trimmed
        if text.hasPrefix("#") || text.hasPrefix(";") { return }
        if text.isEmpty {
            setting?.lines.append((number, ""))
            return
        }
        let indent = line.prefix { $0.isWhitespace }.count
        if let outer = setting?.indent, indent > outer {
            setting?.lines.append((number, text))
        } else if text.hasPrefix("["), let end = text.lastIndex(of: "]"), end != text.index(after: text.startIndex) {
            try close()
            try open(String(text[text.index(after: text.startIndex)..<end]))
        } else {
            try close()
            try begin(text, indent: indent)
        }
    }

    mutating func finish() throws(AgentError) -> [String: INIDocument.Section] {
        try close()
        if let name { sections[name] = section }
        if let defaults = sections.removeValue(forKey: Self.defaultsName) {
            for name in sections.keys {
                sections[name]?.values.merge(defaults.values) { own, _ in own }
                sections[name]?.nested.merge(defaults.nested) { own, _ in own }
            }
        }
        return sections
    }

    private mutating func open(_ next: String) throws(AgentError) {
        if let name { sections[name] = section }
        if next != Self.defaultsName, sections[next] != nil {
            throw fault("begins section [\(printable(next))] for the second time", expected: "each section once")
        }
        name = next
        section = sections.removeValue(forKey: next) ?? INIDocument.Section()
    }

    private mutating func begin(_ text: String, indent: Int) throws(AgentError) {
        guard name != nil else {
            throw fault("stands before any section", expected: "a section such as [default] first")
        }
        guard let separator = text.firstIndex(where: { $0 == "=" || $0 == ":" }) else {
            throw fault("has no '='", expected: "'key = value', '[section]' or a comment")
        }
        let key = String(text[..<separator]).trimmed.lowercased()
        guard !key.isEmpty else { throw fault("has no key before its '='", expected: "'key = value'") }
        let value = String(text[text.index(after: separator)...]).trimmed
        setting = Setting(key: key, indent: indent, lines: [(number, value)])
    }

    /// Files the setting that was being read.
    private mutating func close() throws(AgentError) {
        guard let setting else { return }
        self.setting = nil
        guard section.values[setting.key] == nil, section.nested[setting.key] == nil else {
            throw fault(
                at: setting.lines[0].number, "sets '\(printable(setting.key))' for the second time in this section",
                expected: "each key once")
        }
        let lines = setting.lines.reversed().drop { $0.text.isEmpty }.reversed()
        if lines.count > 1, setting.lines[0].text.isEmpty {
            section.nested[setting.key] = try nested(lines, in: setting.key)
        } else {
            section.values[setting.key] = lines.map(\.text).joined(separator: "\n")
        }
    }

    private func nested(
        _ lines: some Sequence<(number: Int, text: String)>, in key: String
    ) throws(AgentError) -> [String: String] {
        var values: [String: String] = [:]
        for (number, text) in lines where !text.isEmpty {
            guard let separator = text.firstIndex(of: "=") else {
                throw fault(
                    at: number, "has no '='",
                    expected: "'key = value', as the lines under '\(printable(key)) =' are")
            }
            values[String(text[..<separator]).trimmed] = String(text[text.index(after: separator)...]).trimmed
        }
        return values
    }

    /// Says where, what and what was expected, and nothing of what stands there: it may be a key.
    private func fault(at line: Int? = nil, _ found: String, expected: String) -> AgentError {
        AgentError(
            .awsCredentialsBroken, "\(path) line \(line ?? number) \(found)", remedy: "Expected \(expected)")
    }
}

extension String {
    /// Without white space at either end.
    var trimmed: String {
        let scalars = unicodeScalars
        let start = scalars.firstIndex { !$0.properties.isWhitespace } ?? scalars.endIndex
        let end = scalars.lastIndex { !$0.properties.isWhitespace }.map { scalars.index(after: $0) } ?? start
        return String(scalars[start..<end])
    }
}
