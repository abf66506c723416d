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

/// The addresses of one cluster, as one token asks them.
///
/// They are tried in the order given, beginning with the one that answered last. The next is tried at once after no answer
/// (name, connection, TLS, time-out, a reply that is not HTTP) and after an answer about that server rather than the
/// request: sealed, no leader, throttled, behind in replication, a standby that may not write, a failure that is not
/// understood, and whatever Vault would not say, such as a load balancer's page. Any other answer counts.
///
/// An address that failed is asked last for a while; one that asked to be left alone is not asked before its time, as long
/// as there is another. With one address alone there is no choice: when to ask again is the caller's decision.
final class VaultConnection {
    /// So long an address that failed comes after the others.
    private static let rest: Duration = .seconds(10)

    private let server: VaultServer
    private let endpoints: [VaultEndpoint]
    private let servers: VaultServers
    private let namespace: String
    private let mount: String
    private let role: String?
    private let transport: any HTTPTransport
    private let timekeeper: any Timekeeper
    private let log: Logger
    private let redirects: RedirectPolicy
    /// Index of the address to begin with.
    private var preferred = 0
    /// Index of the address that answered last.
    private var settled: Int?
    /// All that Vault said in refusing the latest request; empty where it did not, or did not answer.
    private(set) var refusal = ""

    init(
        server: VaultServer, login: LoginSettings, servers: VaultServers, transport: any HTTPTransport,
        timekeeper: any Timekeeper, environment: [String: String], log: Logger
    ) {
        self.server = server
        self.servers = servers
        self.transport = transport
        self.timekeeper = timekeeper
        self.log = log
        endpoints = server.addresses.map { address in
            VaultEndpoint(address: address, tls: server.tls, proxy: server.proxy(for: address, in: environment))
        }
        namespace = login.namespace ?? server.namespace
        mount = login.mountPath
        role = login.role
        redirects = .follow(
            RedirectScope(
                hosts: server.addresses.compactMap { try? WebAddress($0).host }, listed: server.redirectHosts))
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

    /// What `read` makes of a reply of 200 to 299 from the first address that gives an answer, within `limit`.
    ///
    /// Where `read` throws `vaultUnavailable`, what came is no answer of Vault's, and the next address is asked. The error
    /// of a list has a ``AgentError/retryAfter`` only where every address has asked to be left alone.
    func send<Value>(
        _ call: VaultCall, within limit: Duration, reading read: (HTTPReply, AnswerContext) throws(AgentError) -> Value
    ) async throws(AgentError) -> Value {
        let deadline = timekeeper.now + limit
        var failures: [AgentError] = []
        for index in order() {
            let left = deadline - timekeeper.now
            guard failures.isEmpty || left > .zero else { break }
            // Should this one hang until the caller gives up, the next attempt begins with the one after it.
            preferred = (index + 1) % endpoints.count
            switch await ask(endpoints[index], call, within: left, read) {
            case .served(let value):
                settle(on: index)
                return value
            case .refused(let error):
                settle(on: index)
                throw error
            case .notServed(let error):
                note(error, of: index)
                failures.append(error)
            case .over(let error):
                throw error
            }
        }
        throw summary(of: failures)
    }

    /// The addresses to ask, the likeliest first. Where all want to be left alone, the one whose time ends first.
    private func order() -> [Int] {
        let now = timekeeper.now
        let ring = endpoints.indices.map { (preferred + $0) % endpoints.count }
        let ready = ring.filter { servers[endpoints[$0]].quietUntil.map { $0 <= now } ?? true }
        let fit = ready.filter { servers[endpoints[$0]].restsUntil.map { $0 <= now } ?? true }
        if ready.isEmpty, let first = ring.min(by: { quietTime($0, now) < quietTime($1, now) }) { return [first] }
        return fit + ready.filter { !fit.contains($0) }
    }

    /// How long this address still wants to be left alone.
    private func quietTime(_ index: Int, _ now: Instant) -> Duration {
        servers[endpoints[index]].quietUntil.map { max(.zero, $0 - now) } ?? .zero
    }

    private func note(_ error: AgentError, of index: Int) {
        let now = timekeeper.now
        servers.note(
            VaultServers.Standing(
                restsUntil: now + Self.rest, quietUntil: error.retryAfter.map { now + $0 }, isDoubtful: true),
            of: endpoints[index])
    }

    /// What one address made of a call.
    private enum Outcome<Value> {
        case served(Value)
        /// Another server of the cluster would say the same.
        case refused(AgentError)
        /// Another address may serve.
        case notServed(AgentError)
        /// No other address may be tried.
        case over(AgentError)
    }

    private func ask<Value>(
        _ endpoint: VaultEndpoint, _ call: VaultCall, within left: Duration,
        _ read: (HTTPReply, AnswerContext) throws(AgentError) -> Value
    ) async -> Outcome<Value> {
        let context = context(call, at: endpoint.address)
        refusal = ""
        let reply: HTTPReply
        do throws(HTTPFailure) {
            reply = try await transport.send(request(call, to: endpoint, within: left))
        } catch {
            let verdict = context.verdict(on: error)
            let mayTryAnother = error.kind != .cancelled && (call.repeatable || !error.maybeSent)
            return mayTryAnother ? .notServed(verdict) : .over(verdict)
        }
        guard 200...299 ~= reply.status else {
            let (error, subject) = context.verdict(on: reply, sent: call.allSecrets, at: timekeeper.wallTime)
            refusal = AnswerText(reply, sent: call.allSecrets).text
            switch subject {
            case .request: return .refused(error)
            case .server: return .notServed(error)
            case .unclear: return call.repeatable ? .notServed(error) : .over(error)
            }
        }
        do throws(AgentError) {
            return .served(try read(reply, context))
        } catch {
            guard error.code == .vaultUnavailable else { return .refused(error) }
            return call.repeatable ? .notServed(error) : .over(error)
        }
    }

    private func request(_ call: VaultCall, to endpoint: VaultEndpoint, within left: Duration) -> HTTPRequest {
        // Vault Agent and Proxy can be told to refuse requests without it, against forged ones from browsers.
        var headers = [HTTPHeader("X-Vault-Request", "true")]
        // A server's health is no namespace's: OpenBao 2.7 answers "operation unavailable in namespaces".
        if !namespace.isEmpty, call.operation != .health { headers.append(HTTPHeader("X-Vault-Namespace", namespace)) }
        if let token = call.token { headers.append(HTTPHeader("X-Vault-Token", secret: token)) }
        if let ttl = call.wrapTTL { headers.append(HTTPHeader("X-Vault-Wrap-TTL", "\(ttl.wholeSeconds)s")) }
        if call.body != nil { headers.append(HTTPHeader("Content-Type", "application/json")) }
        var request = HTTPRequest(
            call.method, endpoint.url(call.path), headers: headers, body: call.body,
            route: endpoint.route, redirects: redirects,
            connectTimeout: min(server.connectTimeout, left), totalTimeout: min(server.requestTimeout, left))
        request.wantsOtherConnection = servers[endpoint].isDoubtful
        // Renewed twice is renewed.
        if call.operation == .renew { request.isIdempotent = true }
        return request
    }

    private func settle(on index: Int) {
        preferred = index
        servers.clear(endpoints[index])
        guard index != settled else { return }
        if settled != nil || index != 0 {
            log.notice("Vault answers at another address", metadata: ["address": "\(addresses[index])"])
        }
        settled = index
    }

    /// One failure as it is; of several the one that says most, with what every address had to say.
    private func summary(of failures: [AgentError]) -> AgentError {
        let bySignificance: [AgentError.Code] = [.vaultUnavailable, .vaultThrottled, .vaultTLS, .vaultUnreachable]
        let chief = bySignificance.lazy.compactMap { code in failures.first { $0.code == code } }.first ?? failures[0]
        guard endpoints.count > 1 else { return chief }
        let now = timekeeper.now
        let waits = endpoints.indices.map { quietTime($0, now) }
        let unasked = zip(endpoints, waits).filter { endpoint, wait in
            wait > .zero && !failures.contains { $0.observed.holds(endpoint.address) }
        }
        let silent = unasked.map { "\($0.address) asked to be left alone for another \($1.text)" }
        return AgentError(
            chief.code,
            "None of \(endpoints.count) addresses served: \((failures.map(\.observed) + silent).joined(separator: "; "))",
            remedy: chief.remedy, retryAfter: waits.allSatisfy { $0 > .zero } ? waits.min() : nil)
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
