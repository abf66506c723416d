// Every case under Cases/: what is asked of AWS, in full, and what comes of it.

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

@Suite("Cases")
struct CaseTests {
    @Test("Each does what it says", arguments: try CaseFile.names)
    func holds(name: String) async throws {
        let loop = try EventLoop(label: "case")
        try await Task(executorPreference: loop) {
            try await CaseRun(try CaseFile(name), loop).run()
        }.value
    }

    @Test("There are at least 60, and each source has some")
    func enough() throws {
        let names = try CaseFile.names
        #expect(names.count >= 60)
        for source in [
            "environment", "role", "web-identity", "credentials-file", "process", "container", "imds", "sso",
        ] {
            #expect(names.contains { $0.hasPrefix(source) }, "no case for \(source)")
        }
    }

    @Test("botocore's own resolver gives the same answer, or the case says why not")
    func agreesWithBotocore() async throws {
        let answers = try await Reference.ask("answers", CaseFile.root)
        for answer in answers {
            let file = try CaseFile(try #require(answer["case"]?.string).text)
            #expect(
                answer["answer"]?.string?.text == (try expectedOfBotocore(file)),
                "\(file.name): \(answer["detail"]?.string?.text ?? "")")
        }
        #expect(answers.count >= 100, "only \(answers.count) cases are compared")
    }

    /// The keys, `none` or `error`: ours, unless the case has it otherwise, with a reason.
    private func expectedOfBotocore(_ file: CaseFile) throws -> String {
        if let exception = file.json["botocore"] {
            try #require(exception["because"] != nil)
            return try file.text(exception, "gives")
        }
        let outcome = try #require(file.steps.first?["outcome"])
        if let credentials = outcome["credentials"] {
            return ["access_key_id", "secret_access_key", "session_token"]
                .map { credentials[$0]?.string?.text ?? "-" }.joined(separator: " ")
        }
        return outcome["error"]?.string?.text == "aws_credentials_absent" ? "none" : "error"
    }
}

/// One case under way.
private final class CaseRun {
    private let file: CaseFile
    private let chain: CredentialChain
    private let regions = PassingRegionMemory()
    /// The latest credentials that the case asked for.
    private var latest: AWSCredentials?
    private let transport: ScriptedTransport
    private let time: VirtualTime
    private let log = CapturedLog()
    /// Everything that people or other programs get to see.
    private var shown: [String] = []

    init(_ file: CaseFile, _ loop: EventLoop) throws {
        self.file = file
        time = VirtualTime(wall: try file.time)
        transport = ScriptedTransport(time: time)
        chain = CredentialChain(
            settings: try file.settings,
            surroundings: AWSSurroundings(
                environment: file.environment, transport: transport, timekeeper: time, log: log.logger,
                processes: ChildLauncher(loop: loop), jitterSeed: 1, homeDirectory: nil))
    }

    func run() async throws {
        try #require(!file.steps.isEmpty)
        for (number, step) in file.steps.enumerated() {
            try prepare(step)
            transport.expect(try file.exchanges(of: step))
            let outcome = try #require(step["outcome"])
            let actual = try await ask(step)
            #expect(actual == (try expected(outcome)), "\(file.name), step \(number + 1)")
            if case .failed(_, let text) = actual {
                for words in outcome["says"]?.array ?? [] {
                    let words = file.filled(words.string?.text ?? "")
                    #expect(text.contains(words), "\(file.name), step \(number + 1) does not say '\(words)': \(text)")
                }
            }
            for complaint in transport.finish() {
                Issue.record("\(file.name), step \(number + 1): \(complaint)")
            }
            let warnings = log.takeWarnings()
            let announced = step["warnings"]?.array?.compactMap { $0.string?.text } ?? []
            #expect(warnings.count == announced.count, "\(file.name), step \(number + 1): \(warnings)")
            for (warning, words) in zip(warnings, announced) {
                #expect(warning.contains(words), "\(file.name), step \(number + 1): \(warning)")
            }
            shown += warnings
        }
        // Every secret in a case has this word in it.
        for text in shown + log.lines where text.contains("HUSH") {
            Issue.record("\(file.name) shows a secret: \(text)")
        }
    }

    private func prepare(_ step: JSONValue) throws {
        if let wait = step["after"]?.string { time.pass(try #require(Duration(text: wait.text))) }
        if let step = step["clock_set_forward"]?.string { time.step(try #require(Duration(text: step.text))) }
        if step["forget"]?.boolean == true, let latest { chain.forget(latest) }
        for (name, content) in step["write"]?.object ?? [:] {
            file.directory.write(content.string?.text ?? "", to: name)
        }
    }

    // MARK: Asking

    /// What came of it, in words that can be compared.
    private enum Outcome: Hashable {
        case gave([String])
        case failed(AgentError.Code, String)

        static func == (left: Outcome, right: Outcome) -> Bool {
            switch (left, right) {
            case (.gave(let first), .gave(let second)): first == second
            case (.failed(let first, _), .failed(let second, _)): first == second
            default: false
            }
        }

        func hash(into hasher: inout Hasher) {}
    }

    private func ask(_ step: JSONValue) async throws -> Outcome {
        do throws(AgentError) {
            return .gave(try await answer(step))
        } catch {
            shown.append("\(error)")
            return .failed(error.code, "\(error)")
        }
    }

    private func answer(_ step: JSONValue) async throws(AgentError) -> [String] {
        switch step["ask"]?.string?.text ?? "credentials" {
        case "credentials":
            let credentials = try await chain.credentials()
            latest = credentials
            return describe(credentials)
        case "principal": return [try await chain.credentials().principal.record]
        case "region":
            let region = try await chain.region()
            shown.append(region.origin)
            return [region.name, region.origin]
        case "signed_request":
            let course = chain.beginLogin(for: file.audience, at: "case", regions: regions)
            return [Self.transcript(try await course.sign(with: try await chain.credentials()))]
        case "login": return try await logIn(step)
        case "caller_identity":
            let identity = try await chain.callerIdentity()
            return [identity.account, identity.arn, identity.userID]
        case "instance_identity":
            let proof = step["proof"]?.string.flatMap { InstanceProof(rawValue: $0.text) } ?? .rsa2048
            switch try await chain.instanceIdentity(proof) {
            case .pkcs7(let text): return [text.text]
            case .document(let document, let signature): return [document.text, signature.text]
            }
        case "report": return describe(await chain.examine())
        default: throw AgentError(.internalFault, "the case asks for something unknown")
        }
    }

    private static func transcript(_ signed: SignedRequest) -> String {
        HTTPRequest(signed.method, signed.url, headers: signed.headers, body: Secret(text: signed.body)).transcript
    }

    /// The regions that were signed for, and how it ended. Vault is played by the step's `refusals`, in order: the code of
    /// each, and the words of STS; after the last it takes the login.
    private func logIn(_ step: JSONValue) async throws(AgentError) -> [String] {
        let credentials = try await chain.credentials()
        let course = chain.beginLogin(for: file.audience, at: "case", regions: regions)
        var signed: [String] = []
        var refusals = (step["refusals"]?.array ?? [])[...]
        while true {
            let request = try await course.sign(with: credentials)
            let header = Self.transcript(request)
            let scope = header.split(separator: "/").dropFirst(4)
            signed.append("\(request.url) \(scope.first { $0.contains("-") && !$0.contains("_") } ?? "?")")
            guard let refusal = refusals.popFirst() else {
                course.succeeded()
                return signed
            }
            let words = refusal["says"]?.string?.text ?? ""
            let code = refusal["code"]?.string.flatMap { AgentError.Code(rawValue: $0.text) } ?? .internalFault
            let error = AgentError(code, words, remedy: "asked of Vault")
            guard await course.learn(from: error, saying: words) else {
                let explained = course.explained(error, saying: words)
                throw AgentError(
                    explained.code, "signed for \(signed.joined(separator: ", ")): \(explained.observed)",
                    remedy: explained.remedy)
            }
        }
    }

    private func describe(_ credentials: AWSCredentials) -> [String] {
        shown.append(credentials.origin)
        return [
            credentials.accessKeyID, credentials.secretAccessKey.text, credentials.sessionToken?.text ?? "-",
            credentials.expiration?.rfc3339 ?? "-", credentials.origin,
        ]
    }

    private func describe(_ report: ChainReport) -> [String] {
        let lines = report.rows.map { row in
            switch row.finding {
            case .found(let credentials): "\(row.title): found \(credentials.accessKeyID) of \(credentials.origin)"
            case .absent(let why): "\(row.title): absent, \(why)"
            case .failed(let error): "\(row.title): failed, \(error)"
            case .neverReached: "\(row.title): never reached"
            }
        }
        let place = [
            report.region.map { "region \($0.name), \($0.origin)" }, report.stsEndpoint,
        ].map { result in
            switch result {
            case .success(let text): text
            case .failure(let error): "\(error)"
            }
        }
        shown += lines + place
        return lines + place
    }

    // MARK: Expecting

    private func expected(_ outcome: JSONValue) throws -> Outcome {
        if let code = outcome["error"]?.string?.text {
            return .failed(try #require(AgentError.Code(rawValue: code), "\(file.name): no such code"), "")
        }
        if let credentials = outcome["credentials"] {
            return .gave(
                try ["access_key_id", "secret_access_key", "session_token", "expiration", "origin"].map { key in
                    credentials[key] == nil ? "-" : try file.text(credentials, key)
                })
        }
        if let request = outcome["request"] { return .gave([try file.transcript(request)]) }
        return .gave(try #require(outcome["gives"]?.array).map { file.filled($0.string?.text ?? "") })
    }
}
