// AgentRuntime: which region worked for a Vault's STS, in the state directory, so that a restart signs for it at once.

import AWSIdentity
import Crypto
import FileSystem
package import Logging
import SystemCalls

/// `region-DIGEST` for each mount, mode 0600: a region's name on a line. One that cannot be read counts as none; one that
/// cannot be written costs the next start a signature.
package final class FileRegionMemory: RegionMemory {
    private let directory: String
    private let log: Logger
    private var known: [String: String] = [:]

    /// `directory` is absolute and exists.
    package init(directory: String, log: Logger) {
        self.directory = directory
        self.log = log
    }

    package func region(for server: String) -> String? {
        if let region = known[server] { return region }
        let content = try? Directory(directory).content(of: name(server), limit: 80)
        guard let line = content.flatMap({ $0 })?.text, line.last == "\n", Self.isName(String(line.dropLast()))
        else { return nil }
        known[server] = String(line.dropLast())
        return known[server]
    }

    package func remember(_ region: String, for server: String) {
        guard Self.isName(region), known[server] != region else { return }
        known[server] = region
        do throws(SystemFault) {
            try Directory(directory).replace(name(server), with: Secret(text: "\(region)\n"), rights: .agentOnly)
        } catch {
            log.debug("Region not written down", metadata: ["reason": "\(error.observed)"])
        }
    }

    private static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { 0x61...0x7A ~= $0 || 0x30...0x39 ~= $0 || $0 == UInt8(ascii: "-") }
    }

    private func name(_ server: String) -> String { "region-\(server)" }
}
