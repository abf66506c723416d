// The command line: `reload`: has the running agent read its configuration anew, and tells what came of it.

internal import ArgumentParser
internal import Configuration
private import Crypto
internal import Diagnosis
private import Glibc
private import ServiceHealth
private import Timekeeping

struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload", abstract: "Have the running agent read its configuration anew, and say what came of it.",
        discussion: """
            Sends SIGHUP and waits for the outcome: a line for each token (kept, changed, logs in anew, added, dropped). A \
            configuration that cannot work is refused and changes nothing; the exit status is then 78. The agent is found \
            by its status file, which tells its process. It reads what it was started with: where --config names another \
            text, that is a failure.
            """)

    @OptionGroup var options: StatusFileOptions

    @OptionGroup var agent: RunningAgent

    @Flag(help: "Only tell what would change; the agent hears nothing of it.")
    var dryRun = false

    func run() throws {
        let given = try options.configuration()
        let path = try options.path(by: given)
        let before = try StatusReading(path: path)
        guard before.isHeld != false else {
            throw AgentError(
                .fileUnreadable, "no agent runs: process \(before.document.pid), which wrote \(path), is gone",
                remedy: "Start it")
        }
        if dryRun {
            try tellPlan(before.document, given)
            return
        }
        try CryptoLibrary.check()
        let after = try outcome(of: before.document, at: path)
        try tell(after.reload)
        if let given, let read = after.document.configuration, read.digest != given.identity.digest {
            throw AgentError(
                .commandFailed, "the agent has read \(read.name), which is not what \(given.path) holds",
                remedy: "Write it there, or start the agent with --config \(given.path)")
        }
    }

    /// The first reload that began since. One that was under way had read what the file held before.
    private func outcome(
        of before: StatusDocument, at path: String
    ) throws(AgentError) -> (reload: StatusDocument.Reload, document: StatusDocument) {
        let (number, sent) = (before.lastReload?.number ?? 0, wallTime.rfc3339Milliseconds)
        let outcome = try agent.outcome(of: SIGHUP, before, at: path) { now in
            now.lastReload.flatMap { $0.number > number && $0.at >= sent ? (reload: $0, document: now) : nil }
        }
        guard let outcome else {
            throw AgentError(
                .commandFailed, "no outcome within \(agent.timeout.text)", remedy: "See the agent's log")
        }
        return outcome
    }

    private func tell(_ reload: StatusDocument.Reload) throws(AgentError) {
        if let refused = reload.refused {
            throw AgentError(
                .configurationInvalid, "refused, the configuration before it is in force: \(refused.observed)",
                remedy: refused.remedy)
        }
        for token in reload.tokens { output("\(token.token): \(token.change)\n") }
    }

    private func tellPlan(_ document: StatusDocument, _ given: SourceText?) throws(AgentError) {
        let source = ConfigurationSource(option: nil, environment: processEnvironment)
        let text = if let given { given } else { try source.read(environment: processEnvironment) }
        let loaded = try ConfigurationLoader.load(text, environment: processEnvironment)
        if let directories = document.confinedTo { try loaded.configuration.requireWrites(only: directories) }
        let inForce = document.tokens.compactMap { token in
            token.configuration.map { TokenFingerprint(name: token.name, parts: $0) }
        }
        let plan = ReloadPlan(from: inForce, to: loaded.configuration.tokens.map { TokenFingerprint($0) })
        for entry in plan.entries { output("\(entry.token): \(entry.change.words)\n") }
    }
}
