// What the cases cannot show: files without permission where tests run as root, and the document for other tools.

import ChildProcess
import Crypto
import Diagnosis
import EventLoop
import SecretJSON
import TestSupport
import Testing
import Timekeeping

@testable import AWSIdentity

@Suite("The chain")
struct CredentialChainTests {
    /// Stands in for a file system that denies: root may read everything.
    private struct DeniedFiles: FileReading {
        func read(_ path: String, limit: Int) throws(FileFault) -> FileContent {
            throw path.hasSuffix("/config") ? .unreadable("permission denied") : .absent("does not exist")
        }
    }

    @Test("A file that is there and cannot be read is an error, not an empty file")
    func unreadable() async throws {
        let loop = try EventLoop(label: "chain")
        let error = try #require(
            await Task(executorPreference: loop) { () -> AgentError? in
                let time = VirtualTime(wall: WallTime(secondsSince1970: 1_795_251_600))
                let chain = CredentialChain(
                    settings: AWSSettings(),
                    surroundings: AWSSurroundings(
                        environment: [
                            "HOME": "/home/app", "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "key",
                        ],
                        transport: ScriptedTransport(time: time), timekeeper: time, log: CapturedLog().logger,
                        processes: ChildLauncher(loop: loop), files: DeniedFiles()))
                do throws(AgentError) {
                    _ = try await chain.credentials()
                    return nil
                } catch {
                    return error
                }
            }.value)
        #expect(error.code == .fileUnreadable)
        #expect(error.observed == "/home/app/.aws/config cannot be read: permission denied")
    }

    @Test("The document for other tools is what AWS's tools read")
    func processDocument() throws {
        let expiration = try #require(WallTime(rfc3339: "2026-11-21T15:00:00Z"))
        let temporary = AWSCredentials(
            accessKeyID: "ASIAEXAMPLE", secretAccessKey: Secret(text: "key/+=\"\\"),
            sessionToken: Secret(text: "token"),
            expiration: expiration, origin: "test")
        let read = try CredentialDocument(
            try JSONValue(reading: temporary.processDocument), tokenField: "SessionToken", required: false,
            sender: "test")
        #expect(read.accessKeyID == "ASIAEXAMPLE")
        #expect(read.secretAccessKey == temporary.secretAccessKey)
        #expect(read.sessionToken == temporary.sessionToken)
        #expect(read.expiration == expiration)

        let lasting = AWSCredentials(
            accessKeyID: "AKIAEXAMPLE", secretAccessKey: Secret(text: "key"), sessionToken: nil, expiration: nil,
            origin: "test")
        #expect(
            lasting.processDocument.text
                == #"{"Version":1,"AccessKeyId":"AKIAEXAMPLE","SecretAccessKey":"key"}"#)
    }
}
