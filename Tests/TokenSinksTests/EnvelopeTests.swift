// Encrypted sinks, opened by Python's `cryptography`.

import ChildProcess
import Crypto
import Diagnosis
import EventLoop
import Glibc
import SecretJSON
import TestSupport
import Testing

@testable import TokenSinks

@Suite("An encrypted sink")
struct EnvelopeTests {
    private let directory = TemporaryDirectory()
    private let privateKey = Secret.random(count: 32).hexadecimal

    /// The interpreter of the test set-up, which has `cryptography`.
    private func python(_ arguments: [String], _ loop: EventLoop) async throws -> String {
        let folder = String("\(#filePath)".dropLast("EnvelopeTests.swift".count))
        let own = folder + "../../.venv/bin/python"
        let named = unsafe getenv("VTA_PYTHON").map { unsafe String(cString: $0) }
        let interpreter = named ?? (unsafe access(own, X_OK) == 0 ? own : "python3")
        let outcome = try await ChildLauncher(loop: loop).run(
            ChildCommand(arguments: [interpreter, folder + "open_envelope.py"] + arguments, timeout: .seconds(60)))
        try #require(
            outcome.hasSucceeded,
            "\(interpreter) (`make setup` brings one with cryptography): \(outcome.standardError.text)")
        return outcome.standardOutput.text
    }

    @Test(
        "opens for the reader, with or without a derived key and additional data", arguments: [false, true],
        ["", "an aad"])
    func opens(deriveKey: Bool, additionalData: String) async throws {
        let (directory, privateKey) = (directory, privateKey)
        let path = directory.file("token")
        try await onLoop { loop in
            write(try await python(["--public-key", privateKey], loop), to: directory.file("key"))
            var encryption = EncryptionSettings(publicKeyPath: directory.file("key"))
            encryption.deriveKey = deriveKey
            encryption.additionalData = additionalData
            let sink = try fileSink(path, on: loop) { settings, _ in settings.encryption = encryption }
            try await sink.check()
            try await sink.deliver(content("hvs.first"))
            let sealed = try #require(contents(path))
            #expect(!sealed.contains("hvs."))
            let arguments = [path, privateKey, additionalData, deriveKey ? "derived" : "plain"]
            #expect(try await python(arguments, loop) == "hvs.first")
            #expect(try await sink.deliver(content("hvs.first")) == .unchanged)
            #expect(contents(path) == sealed)
            // The reader may change its key; the next token is for the new one.
            let other = Secret.random(count: 32).hexadecimal
            write(try await python(["--public-key", other], loop), to: directory.file("key"))
            try await sink.deliver(content("hvs.second"))
            #expect(try await python([path, other] + arguments.dropFirst(2), loop) == "hvs.second")
        }
    }

    @Test("opens for the reader whatever is in it, for every reader's key and whatever additional data")
    func opensWhateverItHolds() async throws {
        let directory = directory
        try await onLoop { loop in
            var lines = ""
            var contents: [Secret] = []
            for count in [0, 1, 11, 12, 15, 16, 17, 31, 32, 33, 255, 256, 4_095, 4_096, 65_536] + Array(100..<200) {
                let privateKey = Secret.random(count: X25519.length)
                let publicKey = try #require(X25519.publicKey(of: privateKey))
                var key = JSONObjectWriter(capacity: 128)
                key.add("curve25519_public_key", base64: Secret(publicKey))
                write(key.finish().text, to: directory.file("key"))
                var encryption = EncryptionSettings(publicKeyPath: directory.file("key"))
                encryption.deriveKey = count % 2 == 0
                encryption.additionalData = String(
                    repeating: ["a", "\u{FFFD}", "\u{1F511}"][count % 3], count: count % 50)
                contents.append(Secret.random(count: count))
                let sealed = try Envelope(settings: encryption).seal(contents[contents.count - 1])
                let kind = encryption.deriveKey ? "derived" : "plain"
                let text = sealed.text.replacing("\"", with: "\\\"")
                lines +=
                    #"["\#(text)", "\#(privateKey.hexadecimal)", "\#(encryption.additionalData)", "\#(kind)"]"# + "\n"
            }
            write(lines, to: directory.file("envelopes"))
            let opened = try await python(["--each", directory.file("envelopes")], loop).split(
                separator: "\n", omittingEmptySubsequences: false)
            #expect(opened.dropLast().elementsEqual(contents) { $0 == SHA256.digest(of: $1).hexadecimal })
            #expect(opened.count == contents.count + 1)
        }
    }

    @Test("may be configured before the reader has written its key, and then waits for it")
    func keyComesLate() async throws {
        let (directory, privateKey) = (directory, privateKey)
        try await onLoop { loop in
            let sink = try fileSink(directory.file("token"), on: loop) { settings, _ in
                settings.encryption = EncryptionSettings(publicKeyPath: directory.file("key"))
            }
            try await sink.check()
            let error = try await #require(throws: AgentError.self) { try await sink.deliver(content("hvs.first")) }
            #expect(error.code == .fileUnreadable)
            #expect(directory.names.isEmpty)
            write(try await python(["--public-key", privateKey], loop), to: directory.file("key"))
            #expect(try await sink.deliver(content("hvs.first")) == .rotated)
        }
    }

    @Test(
        "takes a key that is none for one that is still being written",
        arguments: [
            "", "no JSON", "[]", "{}", #"{"curve25519_public_key": 7}"#, #"{"curve25519_public_key": "AAAA"}"#,
            #"{"curve25519_public_key": "not base64 of 32 bytes at all, whatever it is!"}"#,
            #"{"curve25519_public_key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#,
            String(repeating: " ", count: 5_000),
        ])
    func badKey(text: String) async throws {
        let (directory, privateKey) = (directory, privateKey)
        write(text, to: directory.file("key"))
        try await onLoop { loop in
            let sink = try fileSink(directory.file("token"), on: loop) { settings, _ in
                settings.encryption = EncryptionSettings(publicKeyPath: directory.file("key"))
            }
            try await sink.check()
            let error = try await #require(throws: AgentError.self) { try await sink.deliver(content("hvs.first")) }
            #expect(error.code == .fileUnreadable)
            #expect(error.observed.contains(directory.file("key")))
            write(try await python(["--public-key", privateKey], loop), to: directory.file("key"))
            #expect(try await sink.deliver(content("hvs.first")) == .rotated)
        }
    }
}
