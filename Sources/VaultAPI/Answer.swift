// VaultAPI: from an answer, or from none, to the failure that the agent acts on and the operator reads.

internal import Crypto
internal import Diagnosis
internal import HTTPClient
internal import Timekeeping

/// What the agent asked for when the answer came.
enum VaultOperation: String, CaseIterable, Hashable, Sendable {
    case login
    case renew = "renew-self"
    case lookUp = "lookup-self"
    case revoke = "revoke-self"
    case createChild = "create a child token"
    case wrap = "wrap a token"
    case unwrap = "unwrap a token"
    case health = "sys/health"
}

/// One row: which answer, and what it comes to.
struct Answer: Sendable {
    /// Whom the answer is about.
    enum Subject: Sendable {
        /// This request: another server of the cluster would say the same.
        case request
        /// This server: another address may serve.
        case server
        /// This server, most likely, but it may have done what was asked: another address may serve what can be repeated.
        case unclear
    }

    let operations: Set<VaultOperation>
    let statuses: ClosedRange<Int>
    /// Lower case; all must occur in what Vault says, or, for rows about a server, in any page. None: whatever it says.
    let words: [String]
    let code: AgentError.Code
    let subject: Subject
    /// `{mount}`, `{role}` and `{namespace}` stand for what was configured.
    let remedy: String

    func matches(_ operation: VaultOperation, status: Int, text: AnswerText) -> Bool {
        guard operations.contains(operation), statuses.contains(status) else { return false }
        guard !words.isEmpty else { return true }
        return (text.isVaults || subject != .request) && words.allSatisfy(text.says)
    }
}

extension Answer {
    /// Not understood: taken as passing, retried with growing pauses.
    static let unknown = Answer(
        operations: Set(VaultOperation.allCases), statuses: 0...499, words: [], code: .vaultUnavailable,
        subject: .request,
        remedy: "The agent does not know this answer, takes it as passing and tries again with growing pauses. If it "
            + "stays, look into the server's log and audit log")

    static let unknownFailure = Answer(
        operations: Set(VaultOperation.allCases), statuses: 500...999, words: [], code: .vaultUnavailable,
        subject: .unclear, remedy: unknown.remedy)

    /// Any answer that would be about the request, had Vault given it.
    static let notVaults = Answer(
        operations: Set(VaultOperation.allCases), statuses: 0...999, words: [], code: .vaultUnavailable,
        subject: .unclear,
        remedy: "These are not Vault's words: a load balancer, a proxy or a portal answers in its place. Does "
            + "vault.address lead to Vault?")
}

/// What an answer is about: names for messages.
struct AnswerContext {
    let operation: VaultOperation
    /// The address as it was configured.
    let address: String
    /// `auth/aws`
    let mount: String
    let role: String?
    let namespace: String

    /// `login at auth/aws`, `renew-self`.
    var request: String {
        operation == .login ? "login at \(mount)" : operation.rawValue
    }

    func filled(_ remedy: String) -> String {
        var result = ""
        var rest = Substring(remedy)
        while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
            result += rest[..<open]
            switch rest[rest.index(after: open)..<close] {
            case "mount": result += mount
            case "role": result += role ?? "ROLE"
            case "namespace": result += namespace
            default: result += rest[open...close]
            }
            rest = rest[rest.index(after: close)...]
        }
        return result + rest
    }
}

extension AnswerContext {
    /// What a reply outside 200 to 299 comes to, and whether another address may do better.
    ///
    /// `sent`: the secrets that went out, which are not repeated. `wallTime`: to reckon a `Retry-After` that is a date.
    func verdict(
        on reply: HTTPReply, sent: [Secret], at wallTime: WallTime
    ) -> (error: AgentError, subject: Answer.Subject) {
        let text = AnswerText(reply, sent: sent)
        var answer =
            Answer.table.first { $0.matches(operation, status: reply.status, text: text) }
            ?? (reply.status < 500 ? .unknown : .unknownFailure)
        if answer.subject == .request, !text.isVaults { answer = .notVaults }
        let error = AgentError(
            answer.code, "Vault at \(address) answered \(request) with \(reply.status): \(text.quoted)",
            remedy: filled(answer.remedy), retryAfter: retryAfter(reply, at: wallTime))
        return (error, answer.subject)
    }

    /// Longest pause that a server can ask for: an hour. More is a mistake or malice.
    static let longestRetryAfter: Duration = .seconds(3_600)

    /// `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3), where the server asks to be left alone.
    private func retryAfter(_ reply: HTTPReply, at wallTime: WallTime) -> Duration? {
        guard reply.status == 429 || reply.status == 503, let field = reply.header("retry-after") else { return nil }
        let text = field.filter { $0 != "\t" }
        let pause: Duration
        if !text.isEmpty, text.utf8.count <= 20, text.utf8.allSatisfy({ 0x30...0x39 ~= $0 }) {
            pause = Int64(text).map { .seconds($0) } ?? Self.longestRetryAfter
        } else if let date = WallTime(httpDate: text) {
            pause = date - wallTime
        } else {
            return nil
        }
        return min(max(pause, .zero), Self.longestRetryAfter)
    }

    /// A reply that should be a success and cannot be used. Says what is wrong with it, never what stands in it: it may
    /// hold a token.
    func unusable(_ why: String) -> AgentError {
        AgentError(
            .vaultUnavailable, "the reply of Vault at \(address) to \(request) cannot be used: \(why)",
            remedy: "Does something else answer in Vault's place: a proxy, a portal, a page of the load balancer?")
    }

    /// What no reply at all comes to.
    func verdict(on failure: HTTPFailure) -> AgentError {
        let (code, remedy): (AgentError.Code, String) =
            switch failure.kind {
            case .badURL: (.configurationInvalid, "Write vault.address as https://host:port")
            case .nameNotResolved:
                (.vaultUnreachable, "Check the name in vault.address, and this machine's DNS: `getent hosts NAME`")
            case .connectionRefused:
                (.vaultUnreachable, "Nothing listens there: is Vault running, is the port right (8200 by default)?")
            case .noRoute: (.vaultUnreachable, "Check this machine's network and routes")
            case .connectTimedOut:
                (.vaultUnreachable, "Check security groups, firewalls and routes between this machine and Vault")
            case .replyTimedOut:
                (.vaultUnreachable, "Vault is too slow or hangs; vault.request_timeout says how long the agent waits")
            case .connectionLost:
                (
                    .vaultUnreachable,
                    "If it stays: does the address begin with http:// where Vault speaks TLS, or the reverse?"
                )
            case .proxyFailed:
                (
                    .vaultUnreachable,
                    "Check HTTPS_PROXY (http_proxy for an http address) and NO_PROXY; a login at the proxy stands in its URL"
                )
            case .certificateRefused:
                (
                    .vaultTLS,
                    "Set vault.tls.ca_cert to the CA that signed Vault's certificate; where it is for another name, use that "
                        + "name in vault.address or set vault.tls.server_name"
                )
            case .tlsFailed:
                (
                    .vaultTLS,
                    "Does vault.address begin with https:// where Vault speaks plain http? Else check vault.tls: the files, and "
                        + "client_cert and client_key where Vault asks for a client certificate. TLS 1.2 or newer is needed"
                )
            case .replyTooLong, .replyMalformed:
                (.vaultUnavailable, "Does something else than Vault listen at that address?")
            case .cancelled: (.cancelled, "")
            case .other: (.vaultUnreachable, "The agent tries again with growing pauses")
            }
        return AgentError(code, "no answer from Vault at \(address) to \(request): \(failure.observed)", remedy: remedy)
    }
}
