// Encrypted sinks, opened by Python's `cryptography`.

import ChildProcess
import Crypto
import Diagnosis
import EventLoop
import Glibc
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
        "refuses a key that is none",
        arguments: [
            "", "no JSON", "[]", "{}", #"{"curve25519_public_key": 7}"#, #"{"curve25519_public_key": "AAAA"}"#,
            #"{"curve25519_public_key": "not base64 of 32 bytes at all, whatever it is!"}"#,
            #"{"curve25519_public_key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#,
            String(repeating: " ", count: 5_000),
        ])
    func badKey(text: String) throws {
        write(text, to: directory.file("key"))
        let envelope = Envelope(settings: EncryptionSettings(publicKeyPath: directory.file("key")))
        let error = try #require(throws: AgentError.self) { try envelope.seal(Secret(text: "hvs.first")) }
        #expect(error.code == .configurationInvalid)
        #expect(error.observed.contains(directory.file("key")))
    }
}
