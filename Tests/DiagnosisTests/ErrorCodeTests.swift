// The closed list of failures: names, exit statuses, and what each calls for.

import Diagnosis
import Glibc
import Testing

@Suite("The codes of failures")
struct ErrorCodeTests {
    private let all = AgentError.Code.allCases

    private func projectText(_ path: String) throws -> String {
        let place = "/Tests/DiagnosisTests/ErrorCodeTests.swift"
        try #require(#filePath.hasSuffix(place))
        let file = unsafe open(#filePath.dropLast(place.count) + "/" + path, O_RDONLY | O_CLOEXEC)
        try #require(file >= 0, "\(path)")
        defer { close(file) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 65_536)
        while case let count = unsafe read(file, &part, part.count), count > 0 { bytes += part[..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test("docs/troubleshooting.md explains each code, with its exit status, and no other")
    func everyCodeHasItsEntry() throws {
        let guide = try projectText("docs/troubleshooting.md")
        let headings = guide.split(separator: "\n").filter { $0.hasPrefix("### ") }.map(String.init)
        #expect(headings.sorted() == all.map { "### `\($0.rawValue)`" }.sorted())
        for code in all {
            let heading = "### `\(code.rawValue)`\n\nExit status \(code.exitStatus). "
            #expect(guide.contains(heading), "\(code.rawValue)")
            // More than the heading: what it means, and something to do.
            let entry = guide.split(separator: heading, maxSplits: 1).last?.prefix { $0 != "#" } ?? ""
            #expect(entry.count > 80, "\(code.rawValue)")
        }
    }

    @Test("a name is a metric's label: lower case, digits and underscores")
    func names() {
        for code in all {
            let bytes = code.rawValue.utf8
            let isPlain = bytes.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 95 }
            #expect(isPlain && bytes.count <= 40 && bytes.first != 95 && bytes.last != 95, "\(code.rawValue)")
            #expect(AgentError.Code(rawValue: code.rawValue) == code)
        }
    }

    @Test("an exit status is one of sysexits.h, none of a shell's or a signal's")
    func exitStatuses() {
        for code in all { #expect((64...78).contains(code.exitStatus), "\(code.rawValue)") }
        #expect(AgentError.Code.configurationInvalid.exitStatus == 78)
    }

    @Test("what only people can mend does not pass by itself")
    func reactions() {
        for code in all { #expect(!(code.needsPeople && code.isPassing), "\(code.rawValue)") }
        #expect(all.contains(where: \.needsPeople) && all.contains(where: \.isPassing))
        // The exit status for "try again later" is never for what needs people; the one for the configuration always is.
        for code in all where code.exitStatus == 75 || code.exitStatus == 69 { #expect(!code.needsPeople) }
        for code in all where code.exitStatus == 78 { #expect(code.needsPeople) }
    }

    @Test("an error reads as what was seen and what to do, and is the same only where all of it is")
    func description() {
        let seen = AgentError(.vaultUnreachable, "vault:8200 refused the connection")
        let both = AgentError(.vaultUnreachable, "vault:8200 refused the connection", remedy: "Check that Vault runs")
        #expect("\(seen)" == "vault:8200 refused the connection")
        #expect("\(both)" == "vault:8200 refused the connection. Check that Vault runs")
        #expect(seen != both)
        #expect(seen != AgentError(.vaultTLS, seen.observed))
        #expect(seen != AgentError(.vaultUnreachable, seen.observed, retryAfter: .seconds(1)))
        #expect(Set([seen, seen, both]).count == 2)
    }

    @Test("an error shows no mark that steers a terminal, and no password of a URL, whoever made its words")
    func printed() {
        let error = AgentError(
            .fileUnreadable, "cannot read /tmp/\u{1B}[2J\u{202E}x\n", remedy: "Ask https://user:hunter2@vault/\u{9B}")
        #expect(error.observed == "cannot read /tmp/\\x1b[2J\\u202ex\\n")
        #expect(error.remedy == "Ask https://(secret)@vault/\\x9b")
    }
}
