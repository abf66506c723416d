// AWSIdentity: all of the machine that the room touches: environment, files, network, time, chance, log.

package import ChildProcess
package import Diagnosis
package import HTTPClient
package import Logging
package import Timekeeping

/// Runs other programs; ``ChildLauncher`` does.
package protocol ProcessRunning: Sendable {
    /// Throws `commandFailed` where the program cannot be started or runs too long, `cancelled` where it was called off.
    func run(_ command: ChildCommand) async throws(AgentError) -> ChildOutcome
}

extension ChildLauncher: ProcessRunning {}

/// What the machine offers. A test or a simulation puts its own in the place of any part.
package struct AWSSurroundings {
    package var environment: [String: String]
    package var transport: any HTTPTransport
    package var timekeeper: any Timekeeper
    package var log: Logger
    /// Spreads the waits between attempts; equal seeds give equal waits.
    package var jitterSeed: UInt64
    /// The user's home, where `HOME` is not set; nil: none known.
    package var homeDirectory: String?
    package var files: any FileReading
    /// Runs a `credential_process`.
    package var processes: any ProcessRunning
    /// Shared by all identities of one agent.
    package var signingTime: SigningTime

    /// - Parameters:
    ///   - environment: The process's own, as a dictionary.
    ///   - log: Receives warnings about clocks, files and outages; never a secret.
    ///   - signingTime: Nil: a new one, which nothing has corrected.
    package init(
        environment: [String: String], transport: any HTTPTransport, timekeeper: any Timekeeper, log: Logger,
        processes: any ProcessRunning,
        jitterSeed: UInt64 = .random(in: 0 ... .max), homeDirectory: String? = AWSSurroundings.homeFromPasswd(),
        files: any FileReading = LocalFiles(), signingTime: SigningTime? = nil
    ) {
        self.environment = environment
        self.transport = transport
        self.timekeeper = timekeeper
        self.log = log
        self.jitterSeed = jitterSeed
        self.homeDirectory = homeDirectory
        self.files = files
        self.processes = processes
        self.signingTime = signingTime ?? SigningTime(timekeeper: timekeeper, log: log)
    }

    /// A variable's value; nil where it is not set or empty.
    func variable(_ name: String) -> String? {
        environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// A path with `~` at its beginning and `$NAME` or `${NAME}` anywhere replaced, as the AWS CLI does for its files. What is
    /// not set is left as it stands.
    func expanding(_ path: String) -> String {
        var text = ""
        var rest = path[...]
        if rest == "~" || rest.hasPrefix("~/"), let home = variable("HOME") ?? homeDirectory {
            text = home
            rest = rest.dropFirst()
        }
        while let dollar = rest.firstIndex(of: "$") {
            text += rest[..<dollar]
            rest = rest[rest.index(after: dollar)...]
            let braced = rest.hasPrefix("{")
            let name = rest.dropFirst(braced ? 1 : 0).prefix { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
            let length = name.count + (braced ? 2 : 0)
            if let value = environment[String(name)], !name.isEmpty, !braced || rest.dropFirst(length - 1).first == "}"
            {
                text += value
                rest = rest.dropFirst(length)
            } else {
                text += "$"
            }
        }
        return text + rest
    }
}
