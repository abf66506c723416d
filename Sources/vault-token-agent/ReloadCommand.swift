// The command line: `reload`: has the running agent read its configuration anew, and tells what came of it.

internal import ArgumentParser
private import Configuration
private import Diagnosis
private import Glibc
private import ServiceHealth
private import Timekeeping

struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload", abstract: "Have the running agent read its configuration anew, and say what came of it.",
        discussion: """
            Sends SIGHUP and waits for the outcome: a line for each token (kept, changed, logs in anew, added, dropped). A \
            configuration that cannot work is refused and changes nothing; the exit status is then 78. The agent is found \
            by its status file, which tells its process.
            """)

    @OptionGroup var options: StatusFileOptions

    @Option(
        help: ArgumentHelp("The agent's process, where its status file tells another namespace's.", valueName: "pid"))
    var pid: Int32?

    @Option(
        help: ArgumentHelp("How long to wait for the outcome: 30s, 2m.", valueName: "duration"),
        transform: { text in
            guard let duration = Duration(text: text), duration > .zero else {
                throw ValidationError("\"\(text)\" is no duration such as 30s or 2m.")
            }
            return duration
        })
    var timeout: Duration = .seconds(60)

    @Flag(help: "Only tell what would change; the agent hears nothing of it.")
    var dryRun = false

    func run() throws {
        let path = try options.path()
        let before = try StatusReading(path: path)
        guard before.isHeld != false else {
            throw AgentError(
                .fileUnreadable, "no agent runs: process \(before.document.pid), which wrote \(path), is gone",
                remedy: "Start it")
        }
        if dryRun {
            try tellPlan(before.document)
            return
        }
        let sent = wallTime
        try RunningAgent.signal(pid ?? Int32(clamping: before.document.pid), SIGHUP)
        try tell(try outcome(after: before.document, from: sent, at: path))
    }

    /// The first reload that began since. One that was under way had read what the file held before.
    private func outcome(
        after before: StatusDocument, from sent: WallTime, at path: String
    ) throws(AgentError) -> StatusDocument.Reload {
        let lastBefore = before.lastReload?.number ?? 0
        let deadline = wallTime + timeout
        while wallTime < deadline {
            usleep(50_000)
            guard let now = try? StatusReading(path: path) else { continue }
            if now.document.pid != before.pid || now.document.startedAt != before.startedAt || now.isHeld == false {
                throw AgentError(.commandFailed, "the agent ended meanwhile", remedy: "See its log")
            }
            guard let reload = now.document.lastReload, reload.number > lastBefore else { continue }
            if reload.at >= sent.rfc3339Milliseconds { return reload }
        }
        throw AgentError(.commandFailed, "no outcome within \(timeout.text)", remedy: "See the agent's log")
    }

    private func tell(_ reload: StatusDocument.Reload) throws(AgentError) {
        if let refused = reload.refused {
            throw AgentError(
                .configurationInvalid, "refused, the configuration before it is in force: \(refused.observed)",
                remedy: refused.remedy)
        }
        for token in reload.tokens { output("\(token.token): \(token.change)\n") }
    }

    private func tellPlan(_ document: StatusDocument) throws(AgentError) {
        let source = ConfigurationSource(option: options.config, environment: processEnvironment)
        let loaded = try ConfigurationLoader.load(source, environment: processEnvironment)
        if let directories = document.confinedTo { try loaded.configuration.requireWrites(only: directories) }
        let inForce = document.tokens.compactMap { token in
            token.configuration.map { TokenFingerprint(name: token.name, parts: $0) }
        }
        let plan = ReloadPlan(from: inForce, to: loaded.configuration.tokens.map { TokenFingerprint($0) })
        for entry in plan.entries { output("\(entry.token): \(entry.change.words)\n") }
    }
}
