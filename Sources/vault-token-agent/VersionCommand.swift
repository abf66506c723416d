// `version`: what this program is, and which libraries it was built with.

internal import ArgumentParser
private import HTTPClient

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version", abstract: "Print the version; --verbose adds the libraries.")

    @Flag(name: .shortAndLong, help: "Also print the libraries inside, their versions and the patches they carry.")
    var verbose = false

    func run() {
        output("vault-token-agent \(VaultTokenAgent.version)\n")
        guard verbose else { return }
        let patches = TransportLibrary.patches
        output(
            """
            libcurl  \(TransportLibrary.running)
            source   \(TransportLibrary.source)
            patches  \(patches.isEmpty ? "those of the system's package" : patches.joined(separator: " "))

            """)
    }
}
