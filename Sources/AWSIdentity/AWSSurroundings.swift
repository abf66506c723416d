// AWSIdentity: all of the machine that the room touches: environment, files, network, time, chance, log.

package import HTTPClient
package import Logging
package import Timekeeping

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

    /// - Parameters:
    ///   - environment: The process's own, as a dictionary.
    ///   - log: Receives warnings about clocks, files and outages; never a secret.
    package init(
        environment: [String: String], transport: any HTTPTransport, timekeeper: any Timekeeper, log: Logger,
        jitterSeed: UInt64 = .random(in: 0 ... .max), homeDirectory: String? = AWSSurroundings.homeFromPasswd(),
        files: any FileReading = LocalFiles()
    ) {
        self.environment = environment
        self.transport = transport
        self.timekeeper = timekeeper
        self.log = log
        self.jitterSeed = jitterSeed
        self.homeDirectory = homeDirectory
        self.files = files
    }

    /// A variable's value; nil where it is not set or empty.
    func variable(_ name: String) -> String? {
        environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }
}
