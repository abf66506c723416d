// The command line: a command that does not exist, and what may have been meant by it.

internal import ArgumentParser
private import Configuration
private import Diagnosis

/// A word where a command should stand.
struct MistypedCommand: Error, CustomStringConvertible {
    private let word: String
    private let before: [String]
    private let known: [String]

    /// Nil: every word where a command should stand is one. Options end the search: their values are no commands.
    init?(_ arguments: [String]) {
        var command: any ParsableCommand.Type = VaultTokenAgent.self
        var before: [String] = []
        for word in arguments {
            let inner = command.configuration.subcommands
            guard !inner.isEmpty, !word.hasPrefix("-"), word != "help" else { return nil }
            guard let next = inner.first(where: { $0._commandName == word }) else {
                self.word = word
                self.before = before
                known = inner.map { $0._commandName }
                return
            }
            before.append(word)
            command = next
        }
        return nil
    }

    var description: String {
        let path = (["vault-token-agent"] + before).joined(separator: " ")
        let remedy =
            Suggestion.nearest(to: word, among: known).map { "Did you mean \"\($0)\"?" }
            ?? "It has \(known.joined(separator: ", "))"
        return "\(path) has no command \"\(printable(word, limit: 60, escaping: .quoted))\". \(remedy)"
    }
}
