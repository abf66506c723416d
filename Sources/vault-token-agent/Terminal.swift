// The command line: whether an output is a terminal, and what it can show.

private import Glibc
internal import ServiceHealth

struct Terminal {
    /// Standard output.
    static var output: Terminal { Terminal(STDOUT_FILENO, environment: processEnvironment) }

    let isOne: Bool
    /// Coloured on a terminal that knows colours, unless somebody has asked for none (https://no-color.org).
    let style: TableStyle

    private init(_ descriptor: Int32, environment: [String: String]) {
        isOne = isatty(descriptor) == 1
        let isForbidden = !environment["NO_COLOR", default: ""].isEmpty
        let kind = environment["TERM", default: ""]
        style = isOne && !isForbidden && !kind.isEmpty && kind != "dumb" ? .coloured : .plain
    }
}
