// The command line, `doctor --unit`: the same checks, made by systemd in the service's place: by its user, with its environment,
// its credentials, and locked away as it is.

private import AgentService
private import ChildProcess
private import Crypto
internal import Diagnosis
private import EventLoop
private import Glibc
private import SystemCalls

/// A unit of another name with the service's own `[Service]` section, in which `doctor` stands for `run`. It is started once
/// and removed.
struct DoctorUnit {
    /// Longest wait for its report; a hundred tokens, each with a login, take a while.
    private static let patience: Duration = .seconds(300)
    private static let directory = "/run/systemd/system"
    /// Where systemd looks for programs itself, for a `systemctl` that sudo or cron would not find.
    private static let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    private let service: String
    private let name: String
    private let file: String
    private let report: String
    private let arguments: [String]

    /// - Parameters:
    ///   - service: Of one agent: `vault-token-agent.service`, `vault-token-agent@app`.
    ///   - arguments: Further options of `doctor`.
    init(_ service: String, arguments: [String]) throws(AgentError) {
        let full = service.hasSuffix(".service") ? service : service + ".service"
        let parts = full.dropLast(8).split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        let isName = !parts[0].isEmpty && full.utf8.allSatisfy { 0x21...0x7E ~= $0 && $0 != UInt8(ascii: "/") }
        guard isName, full.utf8.count <= 200 else {
            throw AgentError(.configurationInvalid, "\(printable(service, limit: 80)) is not the name of a service")
        }
        self.service = full
        let stem = "vault-token-agent-doctor-\(getpid())"
        // The instance stays, for the specifiers that name it.
        name = stem + (parts.count > 1 ? "@\(parts[1])" : "") + ".service"
        file = "\(Self.directory)/\(stem)\(parts.count > 1 ? "@" : "").service"
        report = "/run/\(stem)"
        self.arguments = arguments
    }

    /// The report, and the exit status it ended with.
    func examine() throws(AgentError) -> (text: String, status: Int32) {
        let text = try content(likeness: systemctl(["cat", "--no-pager", "--", service]))
        defer { removeAll() }
        do throws(SystemFault) {
            try writeNewFile(file, text, mode: 0o600)
        } catch {
            throw AgentError(
                .commandFailed, error.observed,
                remedy: geteuid() == 0 ? "Does systemd run here?" : "Only root can start a unit: use sudo")
        }
        // Its failure is in its status, with what it has to say.
        _ = try? systemctl(["start", "--", name])
        let shown = try systemctl(["show", "--property=Result,ExecMainStatus", "--", name])
        let properties = shown.split(separator: "\n").map { $0.split(separator: "=", maxSplits: 1) }
        func value(_ key: String) -> String {
            properties.first { $0.count == 2 && $0[0] == key }.map { String($0[1]) } ?? ""
        }
        let printed = (try? Self.content(of: report)) ?? ""
        guard !printed.isEmpty, let status = Int32(value("ExecMainStatus")) else {
            throw AgentError(
                .commandFailed,
                "systemd could not start \(service)'s likeness: \(value("Result")), status \(value("ExecMainStatus"))",
                remedy: "The service itself fares no better: journalctl --unit=\(name)")
        }
        return (printed, status)
    }

    /// The unit's text, from what `systemctl cat` prints: its files one after another, drop-ins last.
    private func content(likeness printed: String) throws(AgentError) -> String {
        var section = ""
        var settings: [String] = []
        var command: String?
        for line in lines(of: printed) {
            let line = line.drop { $0 == " " || $0 == "\t" }
            if line.isEmpty || line.hasPrefix("#") || line.hasPrefix(";") { continue }
            if line.hasPrefix("[") {
                section = String(line)
            } else if section == "[Service]" {
                if line.hasPrefix("ExecStart=") { command = line.count > 10 ? String(line) : nil }
                settings.append(String(line))
            }
        }
        guard let command, let run = command.firstOccurrence(of: " run") else {
            throw AgentError(
                .configurationInvalid, "\(service) does not run vault-token-agent: its ExecStart has no 'run'",
                remedy: "Name the agent's own unit: systemctl list-units 'vault-token-agent*'")
        }
        let examined = command[..<run.lowerBound] + " doctor" + command[run.upperBound...]
        // Dynamic users are told apart by the unit's name.
        if !settings.contains(where: { $0.hasPrefix("User=") }) {
            settings.append("User=" + (settings.contains("DynamicUser=yes") ? String(service.dropLast(8)) : "root"))
        }
        let lists = [
            "ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost",
        ]
        return
            (["[Service]"] + settings + lists.map { $0 + "=" }
            + [
                String(examined) + arguments.map { " " + $0 }.joined(),
                "Type=oneshot", "NotifyAccess=none", "Restart=no", "WatchdogSec=0", "RemainAfterExit=no", "PIDFile=",
                "SuccessExitStatus=", "TimeoutStartSec=\(Self.patience.components.seconds)",
                // The service has its sinks there, and goes on.
                "RuntimeDirectoryPreserve=yes",
                "StandardInput=null", "StandardOutput=file:\(report)", "StandardError=inherit",
            ]).joined(separator: "\n") + "\n"
    }

    private func removeAll() {
        unsafe unlink(file)
        unsafe unlink(report)
        _ = try? systemctl(["reset-failed", "--", name])
    }

    /// What it prints. Throws its complaint.
    private func systemctl(_ arguments: [String]) throws(AgentError) -> String {
        let outcome = try AgentProcess.onLoop { loop throws(AgentError) in
            try await ChildLauncher(loop: loop).run(
                ChildCommand(
                    arguments: ["systemctl"] + arguments, environment: ["PATH": Self.path, "LC_ALL": "C"],
                    timeout: Self.patience, outputLimit: 1 << 20))
        }
        guard outcome.hasSucceeded else {
            throw AgentError(
                .commandFailed, "systemctl \(arguments[0]): \(outcome.standardError.logLine(without: [], limit: 300))",
                remedy: "Is that its name? systemctl list-units 'vault-token-agent*'")
        }
        return outcome.standardOutput.text
    }

    private static func content(of path: String) throws(SystemFault) -> String {
        let file = try Descriptor(unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), "read", path)
        var text: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while text.count < 4 << 20 {
            // SAFETY: the kernel writes at most `chunk.count` bytes into the array and says how many.
            let count = retryingOnSignal { unsafe read(file.number, &chunk, chunk.count) }
            guard count >= 0 else { throw SystemFault("read", path) }
            if count == 0 { break }
            text += chunk[..<count]
        }
        return String(decoding: text, as: UTF8.self)
    }
}

/// Those of a unit's file: one that ends in a backslash goes on in the next.
private func lines(of printed: String) -> [String] {
    var lines: [String] = []
    var begun = ""
    for line in printed.split(separator: "\n", omittingEmptySubsequences: false) {
        if line.hasSuffix("\\") {
            begun += line.dropLast() + " "
        } else {
            lines.append(begun + line)
            begun = ""
        }
    }
    return lines
}
