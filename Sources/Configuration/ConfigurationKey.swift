// Configuration: how one key of the file is described. The table of all keys (KeyTable.swift) is made of these, and
// loader, suggestions, JSON Schema and reference are all derived from it.

/// What a key holds.
enum Shape: Sendable {
    case text(TextRule)
    /// One string, or a list of at least one.
    case textOrList(TextRule)
    case list(of: TextRule)
    case choice([String])
    case flag
    /// `whole`: Vault counts it in seconds, so milliseconds are refused.
    case duration(ClosedRange<Duration>, whole: Bool)
    case mode
    case section(Section)
    /// A list of at least one object.
    case sections(Section)
}

/// What holds where a key is not given.
enum DefaultValue: Sendable {
    /// The key must be given.
    case required
    /// This value, written as the file would have it (strings without their quotes).
    case value(String)
    /// This value, by what another key of the section says.
    case byChoice(key: String, [(choice: String, value: String)])
    /// An object with the defaults of its keys.
    case keys
    /// Nothing, or something found out later; described for people.
    case described(String)
}

/// One key of a section.
struct ConfigurationKey: Sendable {
    /// The key counts only where another key of its section has one of these values.
    struct Condition: Sendable {
        let key: String
        let values: [String]
    }

    let name: String
    let shape: Shape
    let fallback: DefaultValue
    var condition: Condition?
    /// Whether `null` may be given, to say "none".
    var nullable = false
    /// Whether the file's own section of this name holds where this one is silent.
    var inheritsTopLevel = false
    /// Environment variables of Vault's own tools that are read before the file, at the top level only. The first that is
    /// set counts; OpenBao's name for each comes before it.
    var variables: [String] = []
    /// Flag that is read before the variable, at the top level only.
    var flag: String?
    /// Most elements of a list.
    var elementLimit = 100
    /// What it is for, in Markdown, a sentence or two.
    let summary: String

    /// Whether the file must have it; flags and variables may bring the others that are required.
    var isRequiredInFile: Bool {
        if case .required = fallback { variables.isEmpty } else { false }
    }
}

/// An object of the file: its keys, in the order of the reference.
struct Section: Sendable {
    /// A key that every section may have: a string for its readers, of no effect.
    static let comment = "$comment"

    /// What it is called in prose: "a token".
    let title: String
    let keys: [ConfigurationKey]

    func key(_ name: String) -> ConfigurationKey? {
        keys.first { $0.name == name }
    }
}

extension Shape {
    /// What was expected, for a message: "a duration such as \"30s\"".
    var expectation: String {
        switch self {
        case .text(let rule): rule.expectation
        case .textOrList(let rule): "\(rule.expectation), or a list of those"
        case .list: "a list of strings"
        case .choice(let choices): "one of " + choices.map(quoted).joined(separator: ", ")
        case .flag: "true or false"
        case .duration: "a duration in quotes, such as \"30s\", \"5m\" or \"1h30m\""
        case .mode: "a file mode as a string of octal digits, such as \"0640\""
        case .section: "an object"
        case .sections: "a list of at least one object"
        }
    }
}
