// What the cases cannot show: files without permission where tests run as root, and the document for other tools.

import ChildProcess
import Crypto
import Diagnosis
import EventLoop
import HTTPClient
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

    /// Stands in for an STS that answers once forty have asked whose these keys are.
    private actor Forty: HTTPTransport {
        nonisolated let loop: EventLoop
        nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe loop.asUnownedSerialExecutor() }
        private var chain: CredentialChain?
        private var asking = 0
        private(set) var requests = 0

        init(_ loop: EventLoop) { self.loop = loop }

        func ask(_ credentials: AWSCredentials) async throws -> String {
            let chain =
                chain
                ?? CredentialChain(
                    settings: AWSSettings(),
                    surroundings: AWSSurroundings(
                        environment: ["AWS_REGION": "eu-west-1"], transport: self,
                        timekeeper: VirtualTime(wall: WallTime(secondsSince1970: 1_795_251_600)),
                        log: CapturedLog().logger, processes: ChildLauncher(loop: loop), homeDirectory: nil))
            self.chain = chain
            asking += 1
            return try await chain.completed(credentials).description
        }

        /// It holds the chain, which holds it.
        func end() {
            chain = nil
        }

        func send(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPReply {
            requests += 1
            while asking < 40 { await Task.yield() }
            return HTTPReply(
                status: 200, headers: [],
                body: Secret(
                    text: """
                        <GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\
                        <GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/app</Arn><UserId>AIDA</UserId>\
                        <Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>
                        """), sentAt: Instant(nanoseconds: 0))
        }
    }

    @Test("Whose keys these are is asked once, however many tokens ask at the same time")
    func askedOnce() async throws {
        let loop = try EventLoop(label: "chain")
        let sts = Forty(loop)
        let credentials = AWSCredentials(
            accessKeyID: "AKIAEXAMPLE", secretAccessKey: Secret(text: "key"), sessionToken: nil, expiration: nil,
            origin: "test")
        let asking = (0..<40).map { _ in Task(executorPreference: loop) { try await sts.ask(credentials) } }
        for one in asking { #expect(try await one.value == "user app of account 123456789012") }
        #expect(await sts.requests == 1)
        await sts.end()
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
