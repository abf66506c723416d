// AgentRuntime: which region worked for a Vault's STS, in the state directory, so that a restart signs for it at once.

import AWSIdentity
package import Logging
package import StateDirectory
import SystemCalls

/// `region-DIGEST` for each mount, mode 0600: a region's name on a line. One that cannot be read counts as none; one that
/// cannot be written costs the next start a signature.
package final class FileRegionMemory: RegionMemory {
    private let files: StateFiles
    private let log: Logger
    private var known: [String: String] = [:]

    package init(_ files: StateFiles, log: Logger) {
        self.files = files
        self.log = log
    }

    package func region(for server: String) async -> String? {
        if let region = known[server] { return region }
        guard let line = await files.content(of: name(server), limit: 80), line.last == "\n" else { return nil }
        let region = String(line.dropLast())
        guard Self.isName(region) else { return nil }
        known[server] = region
        return region
    }

    package func remember(_ region: String, for server: String) {
        guard Self.isName(region), known[server] != region else { return }
        known[server] = region
        files.replace(name(server), with: "\(region)\n") { [log] fault in
            if let fault { log.debug("Region not written down", metadata: ["reason": "\(fault.observed)"]) }
        }
    }

    private static func isName(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { 0x61...0x7A ~= $0 || 0x30...0x39 ~= $0 || $0 == UInt8(ascii: "-") }
    }

    private func name(_ server: String) -> String { "region-\(server)" }
}
