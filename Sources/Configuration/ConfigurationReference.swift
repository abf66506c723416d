// Configuration: the table of keys as the reference that people read, in Markdown and as a manual page.

private import Timekeeping

/// The reference of the configuration file.
package enum ConfigurationReference {
    /// The sections, each with the path under which its keys stand.
    private static let sections: [(path: String, section: Section, introduction: String)] = [
        ("", KeyTable.root, "The object that the file holds."),
        ("vault", KeyTable.vault, "Also under each token, where it overrides the file's own `vault` key by key."),
        ("vault.tls", KeyTable.tls, ""),
        ("tokens[]", KeyTable.token, ""),
        ("tokens[].auth", KeyTable.auth, ""),
        ("tokens[].auth.credentials", KeyTable.credentials, ""),
        ("tokens[].renewal", KeyTable.renewal, ""),
        ("tokens[].sinks[]", KeyTable.sink, ""),
        ("on_change", KeyTable.onChange, "Under a token or a sink. Either `command`, or `signal` and `pid_file`."),
        ("log", KeyTable.log, ""),
        ("metrics", KeyTable.metrics, ""),
    ]

    /// A heading and a table for each section; the part of docs/configuration.md that is generated.
    package static var markdown: String {
        sections.map { path, section, introduction in
            var lines = ["### " + (path.isEmpty ? section.title : "`\(path)`"), ""]
            if !introduction.isEmpty { lines += [introduction, ""] }
            lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
            lines += section.keys.map { key in
                "| `\(key.name)` | \(key.shape.text) | \(key.defaultText) | \(key.meaning) |"
            }
            return lines.joined(separator: "\n") + "\n"
        }.joined(separator: "\n")
    }

    /// The flags and variables that stand in for keys of the file; generated as well.
    package static var outsideMarkdown: String {
        var lines = ["| key | flag | variable |", "|---|---|---|"]
        lines += FlaggedKeys.all.map { key in
            "| `\(key.path)` | \(key.flag.map { "`\($0)`" } ?? "") | \(key.variables.map { "`\($0)`" }.joined(separator: ", ")) |"
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The sections of vault-token-agent.json(5), in roff.
    package static var manual: String {
        sections.map { path, section, introduction in
            var lines = [".SS " + roff(path.isEmpty ? section.title : path)]
            if !introduction.isEmpty { lines.append(roff(introduction)) }
            for key in section.keys {
                lines += [
                    ".TP", "\\fB\(roff(key.name))\\fR (\(roff(key.shape.text)))", roff(key.meaning),
                    "Default: \(roff(key.defaultText)).",
                ]
            }
            return lines.joined(separator: "\n") + "\n"
        }.joined()
    }

    /// Text with Markdown's code marks taken out and roff's own characters made harmless.
    private static func roff(_ text: String) -> String {
        let plain = text.filter { $0 != "`" }.map { character in
            switch character {
            case "\\": "\\e"
            case "-": "\\-"
            case "…": "..."
            default: "\(character)"
            }
        }.joined()
        return plain.hasPrefix(".") || plain.hasPrefix("'") ? "\\&" + plain : plain
    }
}

extension Shape {
    /// One or two words for the reference.
    fileprivate var text: String {
        switch self {
        case .text(.readPath), .text(.writePath): "path"
        case .text: "string"
        case .textOrList: "string or list"
        case .list: "list of strings"
        case .choice(let choices): choices.map { "`\($0)`" }.joined(separator: ", ")
        case .flag: "`true`, `false`"
        case .duration(let range, _): "duration, \(range.lowerBound.text) to \(range.upperBound.text)"
        case .mode: "octal string"
        case .section: "object"
        case .sections: "list of objects"
        }
    }
}

extension ConfigurationKey {
    fileprivate var defaultText: String {
        switch fallback {
        case .required: isRequiredInFile ? "required" : "required, here or outside the file"
        case .value(let text): "`\(text.isEmpty ? "\"\"" : text)`"
        case .byChoice(let key, let values):
            values.map { "`\($0.value)` with \(key) `\($0.choice)`" }.joined(separator: ", ")
        case .keys: inheritsTopLevel ? "the file's own `\(name)`" : "its keys' defaults"
        case .described(let text): text
        }
    }

    /// The summary, and the condition under which the key counts.
    fileprivate var meaning: String {
        guard let condition else { return summary }
        let values = condition.values.map { "`\($0)`" }.joined(separator: ", ")
        return "\(summary) Only with `\(condition.key)` \(values)."
    }
}
