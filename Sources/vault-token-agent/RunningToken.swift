// The command line: a token of the running agent, as the commands `get` and `wait` find it: by configuration and status file.

private import CLinux
internal import Configuration
private import Crypto
internal import Diagnosis
private import Glibc
internal import ServiceHealth
private import SystemCalls
private import Timekeeping
internal import TokenSinks

/// A token that a configuration names, or the child that one of its sinks holds, with the agent that keeps it.
struct RunningToken {
    /// Longest content of a sink: 64 KiB is what a socket sink hands out at most.
    private static let longestContent = 64 << 10
    /// As the status names it: `app`; `app/1` for the child of its first sink with `policies`.
    let name: String
    let settings: TokenSettings
    let statusFile: String
    /// Those that hold this very token, in whatever form.
    private let sinks: [SinkSettings]

    /// `name` may be nil where there is one token only, whose children do not count.
    init(_ name: String?, _ loaded: LoadedConfiguration) throws(AgentError) {
        let tokens = loaded.configuration.tokens
        let known = tokens.flatMap { Self.held($0) }
        if let name {
            guard let found = known.first(where: { $0.name == name }) else {
                throw AgentError(
                    .configurationInvalid, "\(loaded.path) has no token \(printable(name, limit: 64))",
                    remedy: "It has \(known.map(\.name).joined(separator: ", "))")
            }
            (self.name, settings, sinks) = found
        } else {
            guard tokens.count == 1, let only = known.first else {
                throw AgentError(
                    .configurationInvalid, "\(loaded.path) has \(tokens.count) tokens",
                    remedy: "Name one of \(known.map(\.name).joined(separator: ", "))")
            }
            (self.name, settings, sinks) = only
        }
        guard let statusFile = loaded.configuration.health.statusFile else {
            throw AgentError(
                .configurationInvalid, "\(loaded.path) turns the status file off",
                remedy: "Take out \"status_file\": null")
        }
        self.statusFile = statusFile
    }

    /// The login's token and its children, in the agent's own order.
    private static func held(
        _ settings: TokenSettings
    ) -> [(name: String, settings: TokenSettings, sinks: [SinkSettings])] {
        let children = settings.sinks.filter { !$0.policies.isEmpty }
        return [(settings.name, settings, settings.sinks.filter(\.policies.isEmpty))]
            + children.enumerated().map { ("\(settings.name)/\($0 + 1)", settings, [$1]) }
    }

    /// The token from the first sink that has it as it is and may be read. Throws why there is none: the agent does not run,
    /// the token is not valid, no sink has it plain. `patience`: longest wait for a socket sink's next bytes.
    func read(patience: Duration = .seconds(10)) throws(AgentError) -> String {
        let reading = try StatusReading(path: statusFile)
        if let reason = reading.reasonsAgainstLiveness(at: wallTime).first {
            throw AgentError(.fileUnreadable, "the agent does not run: \(reason)", remedy: "Start it")
        }
        if let moment = reading.document.loggedOutAt {
            throw AgentError(
                .tokenDead, "the agent was told to log out at \(moment)",
                remedy: "vault-token-agent reload logs in anew")
        }
        guard let status = reading.document.tokens.first(where: { $0.name == name }) else {
            throw AgentError(.configurationInvalid, "the running agent has no token \(name)", remedy: "Reload it")
        }
        let plain = sinks.filter { $0.wrapTTL == nil && $0.encryption == nil }
        guard !plain.isEmpty else {
            throw AgentError(
                .configurationInvalid, "no sink of \(name) holds the token as it is", remedy: remedyWithoutPlainSink)
        }
        let delivered = Set(status.sinks.filter(\.delivered).map(\.name))
        let candidates = plain.filter { delivered.contains($0.place.name) }
        guard !candidates.isEmpty else {
            let reasons = reading.reasonsAgainstHealth(token: name, at: wallTime)
            guard !reasons.isEmpty else {
                throw AgentError(
                    .configurationInvalid, "the running agent keeps \(name) in other sinks", remedy: "Reload it")
            }
            throw AgentError(.tokenDead, reasons.joined(separator: "; "), remedy: "See vault-token-agent status")
        }
        var faults: [(place: String, fault: SystemFault)] = []
        for sink in candidates {
            do throws(SystemFault) {
                guard let token = sink.format.token(in: try Self.content(of: sink.place, patience)) else {
                    throw SystemFault("read", sink.place.name, number: ENODATA)
                }
                return token.text
            } catch {
                faults.append((sink.place.name, error))
            }
        }
        let isForbidden = faults.contains { [EACCES, EPERM].contains($0.fault.number) }
        let which = faults.count == 1 ? "the sink" : "one of them"
        throw AgentError(
            .fileUnreadable, faults.map { "\($0.place): \($0.fault.observed)" }.joined(separator: "; "),
            remedy: isForbidden ? "Run it as a user that may read \(which)" : "")
    }

    private var remedyWithoutPlainSink: String {
        let children = Self.held(settings).dropFirst().map(\.name)
        return sinks.isEmpty && !children.isEmpty
            ? "Its sinks hold children of fewer policies: name one of \(children.joined(separator: ", "))"
            : "Give it one without wrap_ttl, dh_type and policies"
    }

    /// Where to look for changes: the directories of the status file and of the sinks' files.
    var directories: Set<String> {
        var paths = [statusFile]
        for sink in settings.sinks {
            if case .file(let place) = sink.place { paths.append(place.path) }
        }
        return Set(paths.map { String($0[..<($0.lastIndex(of: "/") ?? $0.startIndex)]) })
    }

    private static func opened(_ place: SinkSettings.Place) throws(SystemFault) -> Descriptor {
        switch place {
        case .file(let file):
            // SAFETY: the path is lent for the call only.
            return try Descriptor(unsafe open(file.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), "open", file.path)
        case .socket(let address):
            let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue
            let source = try Descriptor(socket(AF_UNIX, Int32(kind), 0), "socket", address.path)
            // SAFETY: the path is lent for the call only.
            guard unsafe vta_unix_connect(source.number, address.path) == 0 else {
                throw SystemFault("connect", address.path)
            }
            return source
        }
    }

    private static func content(
        of place: SinkSettings.Place, _ patience: Duration
    ) throws(SystemFault) -> Secret {
        let source = try opened(place)
        var content: [UInt8] = []
        let milliseconds = Int32(clamping: patience.nanoseconds / 1_000_000)
        var chunk = [UInt8](repeating: 0, count: longestContent)
        while content.count <= longestContent {
            var readable = pollfd(fd: source.number, events: Int16(POLLIN), revents: 0)
            // SAFETY: one structure, which outlives the call.
            let answer = retryingOnSignal { Int(unsafe poll(&readable, 1, milliseconds)) }
            guard answer >= 0 else { throw SystemFault("read", place.name) }
            guard answer > 0 else { throw SystemFault("read", place.name, number: ETIMEDOUT) }
            // SAFETY: the kernel writes at most `chunk.count` bytes into the array and says how many.
            let count = retryingOnSignal { unsafe Glibc.read(source.number, &chunk, chunk.count) }
            guard count >= 0 else { throw SystemFault("read", place.name) }
            if count == 0 { break }
            content.append(contentsOf: chunk[..<count])
        }
        return Secret(wiping: &content)
    }
}
