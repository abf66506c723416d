// ChildProcess: other programs, started without a shell, for a bounded time, on the agent's own queue.
//
// swift-subprocess would do, but keeps three threads for ever and wakes the process each second once it was used: its
// work goes over the global executor. A pidfd in the loop's epoll set costs neither.

package import Crypto
internal import Diagnosis

/// What to run, and how much of it to bear.
package struct ChildCommand: Hashable, Sendable {
    /// The program, found by the agent's own PATH where it has no slash, and its arguments.
    package var arguments: [String]
    /// All that the child gets to see; nothing is inherited.
    package var environment: [String: String]
    /// Then its whole process group is asked to stop (SIGTERM), and killed 2 s later.
    package var timeout: Duration
    /// Bytes kept of its standard output. What goes beyond is read and dropped, 6 MiB a second at most.
    package var outputLimit: Int
    /// The same for its standard error; too much of that spoils nothing.
    package var errorLimit: Int
    /// The kernel kills it when the agent ends, however that ends; what it has started itself, ``RunningChildren/endAll()`` does.
    package var diesWithAgent: Bool

    package init(
        arguments: [String], environment: [String: String] = [:], timeout: Duration, outputLimit: Int = 64 << 10,
        errorLimit: Int = 64 << 10, diesWithAgent: Bool = false
    ) {
        self.arguments = arguments
        self.environment = environment
        self.timeout = timeout
        self.outputLimit = outputLimit
        self.errorLimit = errorLimit
        self.diesWithAgent = diesWithAgent
    }

    /// For messages: the program without its arguments, which may say more than a log should.
    var program: String {
        arguments.first ?? "(nothing)"
    }
}

/// How a child ended, and what it said.
package struct ChildOutcome: Sendable {
    package enum End: Hashable, Sendable {
        case exited(Int32)
        /// By a signal that somebody else sent.
        case signalled(Int32)
    }

    package let end: End
    package let standardOutput: Secret
    package let standardError: Secret
    /// The standard output was longer than the limit.
    package let isCut: Bool

    package var hasSucceeded: Bool { end == .exited(0) }
}

extension Secret {
    /// A child's output as one line for the log: control characters, C1's too, become spaces, what turns the direction of
    /// writing is escaped, whatever part of `secrets` stands in it becomes "[secret]", and what goes beyond `limit` bytes is cut
    /// at the front, because the last words say most.
    package func logLine(without secrets: [Secret], limit: Int = 1_000) -> String {
        let bytes = blotted(of: secrets)
        let cut = bytes.count > limit
        let line = String(decoding: cut ? bytes.suffix(limit) : bytes[...], as: UTF8.self)
            .unicodeScalars.map { $0.properties.generalCategory == .control ? " " : String($0) }.joined()
        let words = printable(line.split(separator: " ").joined(separator: " "), limit: .max)
        return cut ? "… \(words)" : words
    }
}
