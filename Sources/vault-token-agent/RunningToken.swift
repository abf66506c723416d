// The command line: a token of the running agent, as the commands `get` and `wait` find it: by configuration and status file.

private import CLinux
internal import Configuration
internal import Diagnosis
private import Glibc
internal import ServiceHealth
private import SystemCalls
internal import TokenSinks

/// A token that a configuration names, with the agent that keeps it.
struct RunningToken {
    /// Longest content of a sink: 64 KiB is what a socket sink hands out at most.
    private static let longestContent = 64 << 10
    /// Longest wait for a socket sink's next bytes, in milliseconds.
    private static let patience: Int32 = 10_000

    let settings: TokenSettings
    let statusFile: String

    /// `name` may be nil where there is one token only.
    init(_ name: String?, _ loaded: LoadedConfiguration) throws(AgentError) {
        let tokens = loaded.configuration.tokens
        let names = tokens.map(\.name).joined(separator: ", ")
        if let name {
            guard let found = tokens.first(where: { $0.name == name }) else {
                throw AgentError(
                    .configurationInvalid, "\(loaded.path) has no token \(printable(name, limit: 64))",
                    remedy: "It has \(names)")
            }
            settings = found
        } else {
            guard tokens.count == 1, let only = tokens.first else {
                throw AgentError(
                    .configurationInvalid, "\(loaded.path) has \(tokens.count) tokens", remedy: "Name one of \(names)")
            }
            settings = only
        }
        guard let statusFile = loaded.configuration.health.statusFile else {
            throw AgentError(
                .configurationInvalid, "\(loaded.path) turns the status file off",
                remedy: "Take out \"status_file\": null")
        }
        self.statusFile = statusFile
    }

    /// The token from the first sink that has it as it is and may be read. Throws why there is none: the agent does not run,
    /// the token is not valid, no sink has it plain.
    func read() throws(AgentError) -> String {
        let reading = try StatusReading(path: statusFile)
        if let reason = reading.reasonsAgainstLiveness(at: wallTime).first {
            throw AgentError(.fileUnreadable, "the agent does not run: \(reason)", remedy: "Start it")
        }
        guard let status = reading.document.tokens.first(where: { $0.name == settings.name }) else {
            throw AgentError(
                .configurationInvalid, "the running agent has no token \(settings.name)", remedy: "Reload it")
        }
        let delivered = Set(status.sinks.filter(\.delivered).map(\.name))
        let plain = settings.sinks.filter {
            $0.format == .token && $0.wrapTTL == nil && $0.encryption == nil && $0.policies.isEmpty
        }
        guard !plain.isEmpty else {
            throw AgentError(
                .configurationInvalid, "no sink of \(settings.name) holds the token as it is",
                remedy: "Give it one of format \"token\", without wrap_ttl, dh_type and policies")
        }
        guard let sink = plain.first(where: { delivered.contains($0.place.name) }) else {
            let reasons = reading.reasonsAgainstHealth(token: settings.name, at: wallTime)
            throw AgentError(.tokenDead, reasons.joined(separator: "; "), remedy: "See vault-token-agent status")
        }
        let content: [UInt8]
        do throws(SystemFault) {
            content = try Self.content(of: sink.place)
        } catch {
            throw AgentError(
                .fileUnreadable, "\(sink.place.name): \(error.observed)",
                remedy: error.number == EACCES ? "Run it as a user that may read the sink" : "")
        }
        return String(decoding: content.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
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

    private static func content(of place: SinkSettings.Place) throws(SystemFault) -> [UInt8] {
        let source = try opened(place)
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: longestContent)
        while content.count <= longestContent {
            var readable = pollfd(fd: source.number, events: Int16(POLLIN), revents: 0)
            // SAFETY: one structure, which outlives the call.
            let answer = retryingOnSignal { Int(unsafe poll(&readable, 1, patience)) }
            guard answer >= 0 else { throw SystemFault("read", place.name) }
            guard answer > 0 else { throw SystemFault("read", place.name, number: ETIMEDOUT) }
            // SAFETY: the kernel writes at most `chunk.count` bytes into the array and says how many.
            let count = retryingOnSignal { unsafe Glibc.read(source.number, &chunk, chunk.count) }
            guard count >= 0 else { throw SystemFault("read", place.name) }
            if count == 0 { break }
            content.append(contentsOf: chunk[..<count])
        }
        return content
    }
}

extension SinkSettings.Place {
    /// As the status file calls it.
    fileprivate var name: String {
        switch self {
        case .file(let place): "file \(place.path)"
        case .socket(let place): "socket \(place.path)"
        }
    }
}
