// AWSIdentity: EC2's instance metadata service (IMDS): sessions of version 2, reads, and what a silence means.

internal import Crypto
internal import Diagnosis
internal import HTTPClient
internal import Timekeeping

/// Why the service gave nothing.
enum MetadataFault: Error {
    /// There is no such service here.
    case absent(String)
    /// The service is there; this path is not.
    case notFound
    case failed(AgentError)
}

/// Reads from the service. Keeps its session. Never goes through a proxy.
final class InstanceMetadata {
    /// Session lifetime asked for: 21,600 s, the longest the service grants.
    /// Source: EC2 User Guide, "Use the Instance Metadata Service to access instance metadata".
    private static let sessionLifetime: Duration = .seconds(21_600)
    /// For so long version 2 is not asked for again where it was not to be had.
    private static let version1Lifetime: Duration = .seconds(60)
    /// Longest reply taken: an identity document with its certificate chain has about 6 KiB.
    private static let replyLimit = 65_536

    /// Requests before giving up on a session, as SDKs have it: every read depends on it.
    private static let sessionAttempts = 3
    /// Between these, with half of it more or less.
    private static let sessionPause: Duration = .milliseconds(200)

    private let surroundings: AWSSurroundings
    private let jitter: Jitter
    /// Without a token where the service offers version 1 only.
    private var session: (token: Secret?, endpoint: WebAddress, until: Instant)?

    /// Whether anything has ever come from there.
    private var hasAnswered = false

    init(surroundings: AWSSurroundings, jitter: Jitter) {
        self.surroundings = surroundings
        self.jitter = jitter
    }

    /// The body of `GET path`.
    func read(_ path: String, _ options: MetadataOptions) async throws(MetadataFault) -> Secret {
        if let disabled = options.disabled { throw .absent(disabled) }
        let token = try await sessionToken(options)
        do {
            return try await read(path, token: token, options)
        } catch .failed(let error) where error.code == .awsCredentialsRefused {
            // The session ended before its time, as it does when the instance was stopped or the address moved.
            session = nil
            do {
                return try await read(path, token: try await sessionToken(options), options)
            } catch .failed(let error) where error.code == .awsCredentialsRefused {
                session = nil
                throw .failed(
                    AgentError(
                        .awsMetadataRefused,
                        "IMDS refused a session that it had granted a moment before: 401 to GET \(path)",
                        remedy:
                            "Does a proxy or an agent of a container network answer in IMDS's place, or two of them in turn?"
                    ))
            }
        }
    }

    private func read(
        _ path: String, token: Secret?, _ options: MetadataOptions
    ) async throws(MetadataFault) -> Secret {
        let headers = token.map { [HTTPHeader("X-aws-ec2-metadata-token", secret: $0)] } ?? []
        let reply = try await exchange(request(.get, path, headers, options), options)
        switch reply.status {
        case 200 where !reply.body.isEmpty: return reply.body
        case 200: throw .failed(unusable("GET \(path)", "an empty reply"))
        case 404: throw .notFound
        case 401 where token != nil:
            throw .failed(AgentError(.awsCredentialsRefused, "IMDS refused its own session token"))
        case 401:
            throw .failed(
                AgentError(
                    .awsMetadataUnavailable, "IMDS answered 401 to GET \(path) without a session: it wants version 2",
                    remedy:
                        "See why PUT /latest/api/token gets no answer; an instance's hop limit of 1 is the usual cause")
            )
        case 403: throw .failed(switchedOff("GET \(path)"))
        default: throw .failed(unusable("GET \(path)", "status \(reply.status)"))
        }
    }

    // MARK: Sessions

    /// The session's token; nil where version 1 is all there is, and allowed.
    private func sessionToken(_ options: MetadataOptions) async throws(MetadataFault) -> Secret? {
        if let session, session.endpoint == options.endpoint, surroundings.timekeeper.now < session.until {
            return session.token
        }
        let put = request(
            .put, "/latest/api/token",
            [HTTPHeader("X-aws-ec2-metadata-token-ttl-seconds", "\(Self.sessionLifetime.components.seconds)")], options)
        let reply: HTTPReply
        do {
            reply = try await exchange(put, options)
        } catch .failed(let error) where options.allowVersion1 && error.code == .awsMetadataUnavailable {
            return withoutSession(options)
        }
        switch reply.status {
        case 200 where !reply.body.isEmpty:
            let granted = reply.header("x-aws-ec2-metadata-token-ttl-seconds").flatMap { Int64($0) } ?? 60
            // Given up a minute early: a read that begins just before the end must not fail.
            let lifetime = min(max(.seconds(granted), .zero), Self.sessionLifetime) - .seconds(60)
            session = (reply.body, options.endpoint, reply.sentAt + lifetime)
            return reply.body
        case 403, 404, 405:
            if options.allowVersion1 { return withoutSession(options) }
            if reply.status == 403 { throw .failed(switchedOff("PUT /latest/api/token")) }
            throw .failed(
                AgentError(
                    .awsMetadataUnavailable,
                    "IMDS at \(options.endpoint.hostField) answered \(reply.status) to PUT /latest/api/token: "
                        + "it offers version 1 only",
                    remedy: "Allow version 1 in the configuration (credentials.imds_v1), or have version 2 switched on")
            )
        default: throw .failed(unusable("PUT /latest/api/token", "status \(reply.status)"))
        }
    }

    private func withoutSession(_ options: MetadataOptions) -> Secret? {
        session = (nil, options.endpoint, surroundings.timekeeper.now + Self.version1Lifetime)
        return nil
    }

    // MARK: The wire

    private func request(
        _ method: HTTPMethod, _ path: String, _ headers: [HTTPHeader], _ options: MetadataOptions
    ) -> HTTPRequest {
        HTTPRequest(
            method, options.endpoint.appending(path).text, headers: headers, connectTimeout: options.timeout,
            totalTimeout: options.timeout, replyLimit: Self.replyLimit)
    }

    /// Sends, and sends again after failures that pass, up to the number of attempts.
    private func exchange(_ request: HTTPRequest, _ options: MetadataOptions) async throws(MetadataFault) -> HTTPReply {
        let attempts = request.method == .put ? max(Self.sessionAttempts, options.attempts) : options.attempts
        var attempt = 1
        while true {
            let fault: MetadataFault
            do {
                let reply = try await surroundings.transport.send(request)
                hasAnswered = true
                if reply.status < 500 || attempt >= attempts { return reply }
                fault = .failed(unusable(request.method.rawValue, "status \(reply.status)"))
            } catch {
                if error.kind == .cancelled {
                    throw .failed(AgentError(.cancelled, "the request to IMDS was called off"))
                }
                // Where nobody has ever answered nobody will in a moment: that is no machine of EC2's, and whoever is in a
                // hurry there is not to wait for three time-outs. SDKs do not try again either.
                let passes =
                    [.replyTimedOut, .connectionLost].contains(error.kind)
                    || error.kind == .connectTimedOut && hasAnswered
                if attempt >= attempts || !passes && attempt >= options.attempts {
                    throw await meaning(of: error, request, options)
                }
                fault = .failed(unusable(request.method.rawValue, error.observed))
            }
            let isSession = request.method == .put && attempt >= options.attempts
            await surroundings.timekeeper.sleep(
                for: isSession ? jitter.spread(Self.sessionPause) : jitter.backOff(after: attempt))
            if Task.isCancelled { throw fault }
            attempt += 1
        }
    }

    /// What it means that there was no answer.
    private func meaning(
        of failure: HTTPFailure, _ request: HTTPRequest, _ options: MetadataOptions
    ) async -> MetadataFault {
        let host = options.endpoint.hostField
        switch failure.kind {
        case .connectionRefused, .noRoute, .connectTimedOut, .nameNotResolved:
            if options.endpointIsConfigured {
                return .failed(
                    AgentError(
                        .awsMetadataUnavailable,
                        "IMDS at \(host), as configured, cannot be reached: \(failure.observed)",
                        remedy: "Check AWS_EC2_METADATA_SERVICE_ENDPOINT and that something listens there"))
            }
            guard hasAnswered else {
                return .absent("no instance metadata service at \(host): \(failure.observed)")
            }
            return .failed(
                AgentError(
                    .awsMetadataUnavailable,
                    "IMDS at \(host) has answered before and cannot be reached any more: \(failure.observed)",
                    remedy: "See which route, firewall or network policy has come between"))
        case .replyTimedOut, .connectionLost:
            let unanswered = "IMDS at \(host) took the connection and did not answer \(request.method.rawValue)"
            if request.method == .put, await answersWithoutSession(options) {
                return .failed(
                    AgentError(
                        .awsMetadataUnavailable,
                        "\(unanswered) /latest/api/token within \(options.timeout.text), though it answers GET: "
                            + "the reply's hop limit is used up on the way",
                        remedy: "In a container, raise the instance's hop limit to 2: aws ec2 "
                            + "modify-instance-metadata-options --http-put-response-hop-limit 2 --instance-id …"))
            }
            return .failed(
                AgentError(
                    .awsMetadataUnavailable, "\(unanswered) within \(options.timeout.text)",
                    remedy: "Raise AWS_METADATA_SERVICE_TIMEOUT or AWS_METADATA_SERVICE_NUM_ATTEMPTS if it is slow"))
        default:
            return .failed(unusable(request.method.rawValue, failure.observed))
        }
    }

    /// Whether the service says anything at all to a request of version 1; a refusal counts.
    private func answersWithoutSession(_ options: MetadataOptions) async -> Bool {
        let probe = request(.get, "/latest/meta-data/", [], options)
        return (try? await surroundings.transport.send(probe)) != nil
    }

    private func switchedOff(_ what: String) -> AgentError {
        AgentError(
            .awsMetadataUnavailable,
            "IMDS answered 403 to \(what): it is switched off for this instance, or for this process",
            remedy: "Switch it on (modify-instance-metadata-options --http-endpoint enabled), or use another source")
    }

    private func unusable(_ what: String, _ why: String) -> AgentError {
        AgentError(.awsMetadataUnavailable, "IMDS gave no usable answer to \(what): \(why)")
    }
}
