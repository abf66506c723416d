// Configuration: signals by their names, as the configuration and the command line take them.

private import Glibc

package enum SignalName {
    /// Signals that programs take as a request to do something; KILL and STOP are not.
    static let all: [(name: String, number: Int32)] = [
        ("SIGHUP", SIGHUP), ("SIGINT", SIGINT), ("SIGQUIT", SIGQUIT), ("SIGUSR1", SIGUSR1), ("SIGUSR2", SIGUSR2),
        ("SIGTERM", SIGTERM), ("SIGCONT", SIGCONT), ("SIGWINCH", SIGWINCH),
    ]

    /// `SIGHUP`, `SIGINT`…
    package static var known: [String] { all.map(\.name) }

    /// Nil for a name that is none of them, with or without `SIG`.
    package static func number(of text: String) -> Int32? {
        all.first { $0.name == text || $0.name.dropFirst(3) == text }?.number
    }
}
