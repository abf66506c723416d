// AWSIdentity: which words in the output of a credential_process that failed are secrets, as far as anybody can tell.

internal import ChildProcess
internal import Crypto

/// What must not be shown of what such a process says to people.
struct ProcessSecrets {
    /// Shorter words are names of fields; AWS's keys have 40 characters, its tokens hundreds.
    private static let shortestWord = 16
    /// Variables that the process inherits, fields of its JSON, keys of AWS's files: without `_`, in lower case.
    private static let names: Set = [
        "awssecretaccesskey", "secretaccesskey", "awssessiontoken", "sessiontoken", "awssecuritytoken", "token",
        "awscontainerauthorizationtoken", "authorization",
    ]

    let all: [Secret]

    /// The values of the variables and of the profile that bear such names, whatever longer words the process printed where its
    /// JSON should be, and the long word that follows such a name in its words to people.
    init(of outcome: ChildOutcome, environment: [String: String], profile: [String: String]) {
        let settings = environment.merging(profile) { $1 }.filter { Self.isSecret($0.key.utf8) }
        var all = settings.values.map { Secret(text: $0) }
        all += Self.words(outcome.standardOutput).filter { $0.count >= Self.shortestWord }.map { Secret($0) }
        let said = Self.words(outcome.standardError)
        for (name, value) in zip(said, said.dropFirst()) where Self.isSecret(name) && value.count >= Self.shortestWord {
            all.append(Secret(value))
        }
        self.all = all
    }

    private static func words(_ output: Secret) -> [ArraySlice<UInt8>] {
        unsafe output.withBytes { bytes in unsafe Array(bytes) }
            .split { $0 <= 0x20 || "\"'\\,:;={}[]()<>".utf8.contains($0) }
    }

    private static func isSecret(_ name: some Collection<UInt8>) -> Bool {
        guard name.count <= 40 else { return false }
        let letters = String(decoding: name, as: UTF8.self).lowercased().filter { $0 != "_" && $0 != "-" }
        return names.contains(letters)
    }
}
