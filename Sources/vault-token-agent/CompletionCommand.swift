// The command line: `completion`: the script with which a shell completes the others.

internal import ArgumentParser

struct CompletionCommand: ParsableCommand {
    enum Shell: String, CaseIterable, ExpressibleByArgument {
        case bash, zsh, fish
    }

    static let configuration = CommandConfiguration(
        commandName: "completion", abstract: "Print the completion script for a shell.",
        discussion: """
            The packages bring these scripts. By hand, write what this prints into
              bash  /etc/bash_completion.d/vault-token-agent
              zsh   /usr/local/share/zsh/site-functions/_vault-token-agent
              fish  /etc/fish/completions/vault-token-agent.fish
            """)

    @Argument(help: "bash, zsh or fish.")
    var shell: Shell

    func run() {
        let kind: CompletionShell =
            switch shell {
            case .bash: .bash
            case .zsh: .zsh
            case .fish: .fish
            }
        output(VaultTokenAgent.completionScript(for: kind))
    }
}
