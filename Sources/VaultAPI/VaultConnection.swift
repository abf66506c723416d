// VaultAPI: sends requests to the cluster: which address, which headers, how long, and what to make of no success.

internal import Crypto
internal import Diagnosis
internal import HTTPClient
internal import Logging
internal import Timekeeping

/// One request to Vault's API.
struct VaultCall {
    let operation: VaultOperation
    let method: HTTPMethod
    /// Without `v1/`.
    let path: String
    var token: Secret?
    var body: Secret?
    /// Ask for the reply wrapped, for so long.
    var wrapTTL: Duration?
    /// Further secrets that the request holds; an answer that repeats them is not quoted with them.
    var secrets: [Secret] = []
    /// Whether a second copy does no harm: then the next address is tried though this one may have had it.
    var repeatable = true
}

/// The addresses of one cluster, and which of them answers.
///
/// They are tried in the order given, beginning with the one that answered last. The next is tried after no answer (name,
/// connection, TLS, time-out, a reply that is not HTTP) and after an answer about that server rather than the request
/// (sealed, no leader, 502 to 504). Any other answer counts, whatever it says.
final class VaultConnection {
    private let server: VaultServer
    private let endpoints: [VaultEndpoint]
    private let namespace: String
    private let mount: String
    private let role: String?
    private let transport: any HTTPTransport
    private let timekeeper: any Timekeeper
    private let log: Logger
    /// Index of the address to begin with.
    private var preferred = 0
    /// Index of the address that answered last.
    private var settled: Int?
    /// The `Date` of the answer to the latest request; nil where it had none or there was no answer: a date of long ago
    /// says nothing about the clock.
    private(set) var serverDate: WallTime?

    init(
        server: VaultServer, login: LoginSettings, transport: any HTTPTransport, timekeeper: any Timekeeper,
        proxy: HTTPRoute.Proxy, log: Logger
    ) {
        self.server = server
        self.transport = transport
        self.timekeeper = timekeeper
        self.log = log
        endpoints = server.addresses.map { VaultEndpoint(address: $0, tls: server.tls, proxy: proxy) }
        namespace = login.namespace ?? server.namespace
        mount = login.mountPath
        role = login.role
        precondition(!endpoints.isEmpty, "a Vault server has at least one address")
    }

    var addresses: [String] { endpoints.map(\.address) }

    private func context(_ call: VaultCall, at address: String) -> AnswerContext {
        AnswerContext(operation: call.operation, address: address, mount: mount, role: role, namespace: namespace)
    }

    /// Whatever the server at that one address replies, within `limit`, and what to read it by.
    func send(
        _ call: VaultCall, to address: String, within limit: Duration
    ) async throws(AgentError) -> (HTTPReply, AnswerContext) {
        guard let endpoint = endpoints.first(where: { $0.address == address }) else {
            throw AgentError(.internalFault, "\(address) is none of Vault's addresses")
        }
        let context = context(call, at: address)
        do throws(HTTPFailure) {
            return (try await transport.send(request(call, to: endpoint, within: limit)), context)
        } catch {
            throw context.verdict(on: error)
        }
    }

    /// A reply of 200 to 299 from the first address that gives an answer, within `limit`, and what to read it by.
    func send(
        _ call: VaultCall, within limit: Duration
    ) async throws(AgentError) -> (HTTPReply, AnswerContext) {
        let deadline = timekeeper.now + limit
        let first = preferred
        var failures: [AgentError] = []
        for step in endpoints.indices {
            let left = deadline - timekeeper.now
            guard step == 0 || left > .zero else { break }
            let index = (first + step) % endpoints.count
            // Should this one hang until the caller gives up, the next attempt begins with the one after it.
            preferred = (index + 1) % endpoints.count
            switch await ask(endpoints[index], call, within: left) {
            case .served(let reply):
                settle(on: index)
                return (reply, context(call, at: endpoints[index].address))
            case .refused(let error):
                settle(on: index)
                throw error
            case .notServed(let error):
                failures.append(error)
            case .over(let error):
                throw error
            }
        }
        throw Self.summary(of: failures)
    }

    /// What one address made of a call.
    private enum Outcome {
        case served(HTTPReply)
        /// Another server of the cluster would say the same.
        case refused(AgentError)
        /// Another address may serve.
        case notServed(AgentError)
        /// No other address may be tried.
        case over(AgentError)
    }

    private func ask(_ endpoint: VaultEndpoint, _ call: VaultCall, within left: Duration) async -> Outcome {
        let context = context(call, at: endpoint.address)
        serverDate = nil
        do throws(HTTPFailure) {
            let reply = try await transport.send(request(call, to: endpoint, within: left))
            serverDate = reply.header("date").flatMap(WallTime.init(httpDate:))
            if 200...299 ~= reply.status { return .served(reply) }
            let verdict = context.verdict(on: reply, sent: call.allSecrets, at: timekeeper.wallTime)
            return verdict.subject == .server ? .notServed(verdict.error) : .refused(verdict.error)
        } catch {
            let verdict = context.verdict(on: error)
            let mayTryAnother = error.kind != .cancelled && (call.repeatable || !error.maybeSent)
            return mayTryAnother ? .notServed(verdict) : .over(verdict)
        }
    }

    private func request(_ call: VaultCall, to endpoint: VaultEndpoint, within left: Duration) -> HTTPRequest {
        // Vault Agent and Proxy can be told to refuse requests without it, against forged ones from browsers.
        var headers = [HTTPHeader("X-Vault-Request", "true")]
        if !namespace.isEmpty { headers.append(HTTPHeader("X-Vault-Namespace", namespace)) }
        if let token = call.token { headers.append(HTTPHeader("X-Vault-Token", secret: token)) }
        if let ttl = call.wrapTTL { headers.append(HTTPHeader("X-Vault-Wrap-TTL", "\(ttl.wholeSeconds)s")) }
        if call.body != nil { headers.append(HTTPHeader("Content-Type", "application/json")) }
        return HTTPRequest(
            call.method, endpoint.url(call.path), headers: headers, body: call.body, route: endpoint.route,
            redirects: .follow307, connectTimeout: min(server.connectTimeout, left),
            totalTimeout: min(server.requestTimeout, left))
    }

    private func settle(on index: Int) {
        preferred = index
        guard index != settled else { return }
        if settled != nil || index != 0 {
            log.notice("Vault answers at another address", metadata: ["address": "\(endpoints[index].address)"])
        }
        settled = index
    }

    /// One failure as it is; of several the one that says most, with what every address had to say.
    private static func summary(of failures: [AgentError]) -> AgentError {
        let bySignificance: [AgentError.Code] = [.vaultUnavailable, .vaultTLS, .vaultUnreachable]
        let chief = bySignificance.lazy.compactMap { code in failures.first { $0.code == code } }.first ?? failures[0]
        guard failures.count > 1 else { return chief }
        return AgentError(
            chief.code,
            "None of \(failures.count) addresses served: \(failures.map(\.observed).joined(separator: "; "))",
            remedy: chief.remedy, retryAfter: failures.compactMap(\.retryAfter).min())
    }
}

extension VaultCall {
    var allSecrets: [Secret] { (token.map { [$0] } ?? []) + secrets }
}

extension Duration {
    /// Rounded up: Vault counts in seconds, and 0 would mean "the default".
    var wholeSeconds: Int64 {
        components.seconds + (components.attoseconds > 0 ? 1 : 0)
    }
}
