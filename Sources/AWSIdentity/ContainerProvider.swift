// AWSIdentity: the credentials endpoint of containers: ECS tasks, EKS Pod Identity, and what imitates them.

internal import Crypto
internal import Diagnosis
internal import HTTPClient
internal import SecretJSON
internal import Timekeeping

/// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI`, with an authorization token where there is one.
struct ContainerProvider {
    let surroundings: AWSSurroundings
    let memory: IdentityMemory

    private static let relativeVariable = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
    private static let fullVariable = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
    private static let tokenVariable = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
    private static let tokenFileVariable = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
    /// ECS's own endpoint.
    private static let relativeBase = "http://169.254.170.2"
    /// Plain http goes to these only, besides loopback addresses: ECS, and EKS Pod Identity by IPv4 and IPv6.
    private static let plainHosts: Set = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"]
    /// For each request, and how often: as the AWS CLI has them.
    private static let timeout: Duration = .seconds(2)
    private static let attempts = 3
    /// Longest pause that the endpoint can ask for: an hour. More is a mistake.
    private static let longestPause: Duration = .seconds(3_600)
    private static let replyLimit = 65_536
    /// Longest authorization token taken. EKS's have about 1.5 KiB.
    private static let tokenLimit = 16_384

    func lookUp() async throws(AgentError) -> Lookup {
        guard let url = try url() else {
            return .absent("\(Self.relativeVariable) and \(Self.fullVariable) are not set")
        }
        let sender = "the container endpoint \(url.hostField)"
        let request = HTTPRequest(
            .get, url.text, headers: [HTTPHeader("Accept", "application/json")] + (try authorization()),
            connectTimeout: Self.timeout, totalTimeout: Self.timeout, replyLimit: Self.replyLimit)
        let body = try await body(of: request, sender)
        let json = try JSONValue(body: body, from: sender, failure: .awsMetadataUnavailable)
        let document = try CredentialDocument(json, tokenField: "Token", required: true, sender: sender)
        return .found(try document.credentials(origin: "container endpoint \(url.hostField)"))
    }

    private func url() throws(AgentError) -> WebAddress? {
        if let path = surroundings.variable(Self.relativeVariable) {
            guard path.hasPrefix("/"), let url = try? WebAddress(Self.relativeBase + path) else {
                throw refused(Self.relativeVariable, path, expected: "a path that begins with a slash")
            }
            return url
        }
        guard let text = surroundings.variable(Self.fullVariable) else { return nil }
        guard let url = try? WebAddress(text),
            url.scheme == .https || Self.plainHosts.contains(url.host) || url.isLoopback
        else {
            throw refused(
                Self.fullVariable, text,
                expected: "an http or https URL without user information: https, or http to a loopback address, "
                    + "169.254.170.2, 169.254.170.23 or [fd00:ec2::23]")
        }
        return url
    }

    private func refused(_ variable: String, _ value: String, expected: String) -> AgentError {
        AgentError(
            .awsCredentialsBroken, "\(variable) is '\(printable(url: value))', which is not followed",
            remedy: "Expected \(expected)")
    }

    /// The file is read afresh each time: EKS replaces it.
    private func authorization() throws(AgentError) -> [HTTPHeader] {
        let token: Secret
        let origin: String
        if let path = surroundings.variable(Self.tokenFileVariable) {
            origin = "the file \(path) of \(Self.tokenFileVariable)"
            token = try surroundings.tokenFile(path, origin: origin, limit: Self.tokenLimit)
        } else if let text = surroundings.variable(Self.tokenVariable) {
            origin = Self.tokenVariable
            token = Secret(text: text)
        } else {
            return []
        }
        let isOneLine = unsafe token.withBytes { bytes in
            unsafe bytes.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }
        }
        guard isOneLine else {
            throw AgentError(
                .awsCredentialsBroken, "the authorization token of \(origin) holds a line break or control character",
                remedy: "Expected one line, without a newline at its end")
        }
        return [HTTPHeader("Authorization", secret: token)]
    }

    private func body(of request: HTTPRequest, _ sender: String) async throws(AgentError) -> Secret {
        if let pause = memory.containerPause {
            let left = pause.until - surroundings.timekeeper.now
            if left > .zero {
                let refusal = pause.refusal
                throw AgentError(refusal.code, refusal.observed, remedy: refusal.remedy, retryAfter: left)
            }
            memory.containerPause = nil
        }
        var attempt = 1
        while true {
            let fault: AgentError
            do {
                let reply = try await surroundings.transport.send(request)
                if reply.status == 200 { return reply.body }
                fault = refusal(reply, sender)
            } catch {
                if error.kind == .cancelled {
                    throw AgentError(.cancelled, "the request to \(sender) was called off")
                }
                fault = unanswered(error, sender)
            }
            if let pause = fault.retryAfter {
                memory.containerPause = (surroundings.timekeeper.now + pause, fault)
                throw fault
            }
            if attempt >= Self.attempts { throw fault }
            await surroundings.timekeeper.sleep(for: memory.jitter.spread(.seconds(1)))
            if Task.isCancelled { throw fault }
            attempt += 1
        }
    }

    private func unanswered(_ failure: HTTPFailure, _ sender: String) -> AgentError {
        switch failure.kind {
        case .replyMalformed, .replyTooLong:
            AgentError(
                .awsMetadataUnavailable, "\(sender) gave an answer that cannot be read: \(failure.observed)",
                remedy: "Check that it is the ECS or EKS Pod Identity agent that answers there")
        default:
            AgentError(
                .awsMetadataUnavailable, "\(sender) gave no answer: \(failure.observed)",
                remedy: "Check that the ECS or EKS Pod Identity agent runs and that its address is routed")
        }
    }

    private func refusal(_ reply: HTTPReply, _ sender: String) -> AgentError {
        let message = (try? JSONValue(reading: reply.body))?["message"]?.string?.text ?? ""
        let pause = [429, 503].contains(reply.status) ? self.pause(askedBy: reply) : nil
        return AgentError(
            .awsMetadataUnavailable, "\(sender) answered \(reply.status) \(printable(message))",
            remedy: [400, 401, 403].contains(reply.status)
                ? "Check the task's or pod's role, and the authorization token"
                : pause.map { "It asks to be left alone for \($0.text), and is" } ?? "", retryAfter: pause)
    }

    /// `Retry-After`, in seconds or as a date, with up to a tenth more: many agents were told the same.
    private func pause(askedBy reply: HTTPReply) -> Duration? {
        guard let field = reply.header("retry-after") else { return nil }
        let asked: Duration
        if let seconds = Int64(field), seconds >= 0 {
            asked = .seconds(min(seconds, Self.longestPause.components.seconds))
        } else if let date = WallTime(httpDate: field) {
            asked = min(max(date - surroundings.timekeeper.wallTime, .zero), Self.longestPause)
        } else {
            return nil
        }
        return asked + .milliseconds(Int64(memory.jitter.fraction() * asked.inSeconds * 100))
    }
}

extension AWSSurroundings {
    /// A file that holds one token, and nothing else.
    func tokenFile(_ path: String, origin: String, limit: Int) throws(AgentError) -> Secret {
        do throws(FileFault) {
            var bytes = try files.read(path, limit: limit).bytes
            let token = Secret(wiping: &bytes)
            if token.isEmpty { throw .unreadable("it is empty") }
            return token
        } catch {
            let why =
                switch error {
                case .absent(let why), .unreadable(let why): why
                case .tooLong(let limit): "it is longer than \(limit) bytes"
                }
            throw AgentError(
                .fileUnreadable, "\(origin) cannot be used: \(why)",
                remedy: "Check that the token is mounted and that the agent's user may read it")
        }
    }
}
