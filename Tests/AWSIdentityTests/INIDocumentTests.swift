// AWS's INI dialect against botocore's reader, on generated files.

import Diagnosis
import Glibc
import SecretJSON
import TestSupport
import Testing

@testable import AWSIdentity

@Suite("Shared files")
struct INIDocumentTests {
    @Test("2,000 generated files are read, or refused, as botocore does")
    func agreesWithBotocore() async throws {
        let cases = try await Reference.ask("files", "2000")
        #expect(cases.count == 2_000)
        var refused = 0
        for generated in cases {
            let text = try #require(generated["text"]?.string).text
            if generated["error"] != nil {
                refused += 1
                let error = try #require(throws: AgentError.self, "\(text.debugDescription)") {
                    try INIDocument(Array(text.utf8), path: "file")
                }
                #expect(error.observed.contains("file line "))
            } else {
                let document = try INIDocument(Array(text.utf8), path: "file")
                try #require(
                    flattened(document) == flattened(try #require(generated["sections"])), "\(text.debugDescription)")
            }
        }
        // Both kinds are there in numbers.
        #expect(refused > 300 && refused < 1_700)
    }

    private func flattened(_ document: INIDocument) -> Set<String> {
        Set(
            document.sections.flatMap { name, section in
                ["[\(name)]"] + section.values.map { "[\(name)] \($0) = \($1)" }
                    + section.nested.flatMap { key, values in
                        ["[\(name)] \(key) nested"] + values.map { "[\(name)] \(key) / \($0) = \($1)" }
                    }
            })
    }

    private func flattened(_ sections: JSONValue) -> Set<String> {
        Set(
            (sections.object ?? [:]).flatMap { name, section in
                ["[\(name)]"]
                    + (section.object ?? [:]).flatMap { key, value in
                        guard let nested = value.object else {
                            return ["[\(name)] \(key) = \(value.string?.text ?? "")"]
                        }
                        return ["[\(name)] \(key) nested"]
                            + nested.map { "[\(name)] \(key) / \($0) = \($1.string?.text ?? "")" }
                    }
            })
    }

    @Test("2,000 generated command lines are split, or refused, as botocore does")
    func wordsAgreeWithBotocore() async throws {
        for generated in try await Reference.ask("words", "2000") {
            let line = try #require(generated["line"]?.string).text
            let words = try? CommandWords.split(line)
            try #require(words == generated["words"]?.array?.map { $0.string?.text ?? "" }, "\(line.debugDescription)")
        }
    }

    @Test(
        "A file with what no editor writes is refused, with its line",
        arguments: [
            ("[a]\nk = v\u{0}\n", 2, "control character"), ("[a]\n\nk = \u{1B}[31m\n", 3, "control character"),
            ("[a]\nk = v\u{7F}", 2, "control character"),
        ])
    func controlCharacters(text: String, line: Int, words: String) throws {
        let error = try #require(throws: AgentError.self) { try INIDocument(Array(text.utf8), path: "file") }
        #expect(error.observed.contains("file line \(line) "))
        #expect(error.observed.contains(words))
    }

    @Test("A file of a megabyte is read in time that grows with its length, whatever it holds")
    func large() throws {
        let pieces = [
            "[s]\nk =\n" + String(repeating: " x = y\n", count: 150_000), String(repeating: "\n", count: 1 << 20),
        ]
        let took = try processorTime {
            for piece in pieces { _ = try INIDocument(Array(piece.utf8), path: "file") }
            let keys = "[s]\n" + (0..<50_000).map { "key\($0) = value\n" }.joined()
            #expect(try INIDocument(Array(keys.utf8), path: "file").sections["s"]?.values.count == 50_000)
            #expect(try CommandWords.split(String(repeating: "x", count: 1 << 20)).count == 1)
        }
        #expect(took < .seconds(60))
    }
}

@Suite("Files")
struct LocalFilesTests {
    @Test("A file up to the limit is read whole; one byte more is refused")
    func limit() throws {
        let directory = TemporaryDirectory()
        let bytes = [UInt8](repeating: 7, count: 100_000)
        directory.write(bytes, to: "file")
        #expect(try LocalFiles().read("\(directory.path)/file", limit: 100_000).bytes == bytes)
        #expect(throws: FileFault.tooLong(limit: 99_999)) {
            try LocalFiles().read("\(directory.path)/file", limit: 99_999)
        }
    }

    @Test(
        "What is not there is absent, and nothing else is", arguments: ["/nonexistent", "/dev/null/x", ""])
    func absent(path: String) throws {
        let fault = try #require(throws: FileFault.self) { try LocalFiles().read(path, limit: 10) }
        guard case .absent = fault else {
            Issue.record("\(path): \(fault)")
            return
        }
    }

    @Test("A device, a directory, a pipe or a circle of links is there and cannot be read")
    func unreadable() throws {
        let directory = TemporaryDirectory()
        try #require(unsafe mkfifo("\(directory.path)/pipe", 0o600) == 0)
        try #require(unsafe symlink("\(directory.path)/circle", "\(directory.path)/circle") == 0)
        for path in ["/dev/zero", "/tmp", "\(directory.path)/pipe", "\(directory.path)/circle"] {
            let fault = try #require(throws: FileFault.self) { try LocalFiles().read(path, limit: 10) }
            guard case .unreadable = fault else {
                Issue.record("\(path): \(fault)")
                continue
            }
        }
    }

    @Test("Whoever names /dev/null means an empty file")
    func null() throws {
        #expect(try LocalFiles().read("/dev/null", limit: 10).bytes.isEmpty)
    }
}
