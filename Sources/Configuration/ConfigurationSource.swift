// Configuration: where it comes from: a file or pipe, standard input, or the environment.

package import Diagnosis
private import Glibc

package enum ConfigurationSource: Hashable, Sendable {
    /// A regular file, or a pipe, which can be read once.
    case file(String)
    case standardInput
    /// The variable ``variable`` holds the text itself: for ECS and others that hand out variables and no files.
    case environment

    package static let variable = "VTA_CONFIG"
    package static let defaultPath = "/etc/vault-token-agent/config.json"

    /// What `--config` says (`-` is standard input), else the variable, else the file at the default path.
    package init(option: String?, environment: [String: String]) {
        self =
            switch option {
            case "-": .standardInput
            case .some(let path): .file(path)
            case nil: (environment[Self.variable] ?? "").isEmpty ? .file(Self.defaultPath) : .environment
            }
    }

    /// As above, and nil where that would be the default path and there is no file: for commands that can do without.
    package init?(optional option: String?, environment: [String: String]) {
        self.init(option: option, environment: environment)
        // SAFETY: the path is lent for the call only.
        if option == nil, case .file(let path) = self, unsafe access(path, R_OK) != 0 { return nil }
    }

    /// What messages call it: `/etc/x.json`, `standard input`, `VTA_CONFIG`.
    package var name: String {
        switch self {
        case .file(let path): path
        case .standardInput: "standard input"
        case .environment: Self.variable
        }
    }

    /// Throws `fileUnreadable`, and `configurationInvalid` for what is no text of a bearable length.
    package func read(environment: [String: String]) throws(AgentError) -> SourceText {
        switch self {
        case .file(let path): return try SourceText(readingFrom: path)
        case .standardInput:
            let text = try SourceText(readingStandardInputAs: name)
            guard !text.bytes.isEmpty else {
                throw AgentError(
                    .configurationInvalid, "standard input is empty",
                    remedy: "Feed it the configuration: vault-token-agent … --config - <FILE")
            }
            return text
        case .environment:
            let text = environment[Self.variable] ?? ""
            guard text.utf8.count <= SourceText.sizeLimit else { throw SourceText.tooLong(name) }
            return SourceText(path: name, bytes: Array(text.utf8), canBeReadAgain: false)
        }
    }
}
