// Stand-ins for the tests of the table: the real counterpart, which answers a few of its rows only, is met in
// OpenBaoTests.swift.

import Crypto
import Diagnosis
import Dispatch
import HTTPClient
import SecretJSON
import Synchronization
import TestSupport
import Testing
import Timekeeping
import VaultAPI

/// What a stand-in server does with one request.
enum Scripted: Sendable {
    case reply(Int, String, [(name: String, value: String)] = [])
    case bytes(Int, [UInt8])
    case fail(HTTPFailure)
    /// Answers after so long.
    case slow(Duration, Int, String)
}

/// STAND-IN for the transport: plays a script and keeps what was asked.
final class ScriptedTransport: HTTPTransport {
    private let script: Mutex<[Scripted]>
    private let asked = Mutex<[HTTPRequest]>([])
    let clock: StandInClock

    init(_ script: [Scripted], clock: StandInClock = StandInClock()) {
        self.script = Mutex(script)
        self.clock = clock
    }

    var requests: [HTTPRequest] { asked.withLock { $0 } }

    /// Nothing was left unasked.
    var isUsedUp: Bool { script.withLock { $0.isEmpty } }

    func send(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPReply {
        asked.withLock { $0.append(request) }
        let sentAt = clock.now
        let next = script.withLock { $0.isEmpty ? nil : $0.removeFirst() }
        switch next {
        case nil: throw HTTPFailure(.other, "the script is at its end", maybeSent: false)
        case .reply(let status, let body, let headers):
            return HTTPReply(status: status, headers: headers, body: Secret(text: body), sentAt: sentAt)
        case .bytes(let status, let body):
            return HTTPReply(status: status, headers: [], body: Secret(body), sentAt: sentAt)
        case .fail(let failure): throw failure
        case .slow(let duration, let status, let body):
            clock.advance(by: min(duration, request.totalTimeout))
            guard duration < request.totalTimeout else {
                throw HTTPFailure(.replyTimedOut, "no reply in time", maybeSent: true)
            }
            return HTTPReply(status: status, headers: [], body: Secret(text: body), sentAt: sentAt)
        }
    }
}

/// STAND-IN for the clocks: moves only when told.
final class StandInClock: Timekeeper {
    private let time = Mutex(Instant(nanoseconds: 1_000_000_000_000))
    let wallTime = WallTime(secondsSince1970: 1_795_252_200)  // 2026-11-21T09:10:00Z

    var now: Instant { time.withLock { $0 } }

    func advance(by duration: Duration) {
        time.withLock { $0 = $0 + duration }
    }

    func schedule(at moment: Instant, _ body: @escaping @Sendable () -> Void) -> Alarm {
        fatalError("the client sets no alarms")
    }

    func cancel(_ alarm: Alarm) {}
}

/// A client with a script behind it.
struct ScriptedVault {
    let transport: ScriptedTransport
    let client: VaultClient
    let log = CapturedLog()

    init(
        _ script: [Scripted], addresses: [String] = ["https://vault.example:8200"],
        login: LoginSettings = LoginSettings(method: .iam), servers: VaultServers = VaultServers(),
        environment: [String: String] = [:], _ adjust: (inout VaultServer) -> Void = { _ in }
    ) {
        var server = VaultServer(addresses: addresses)
        adjust(&server)
        transport = ScriptedTransport(script)
        client = VaultClient(
            server: server, login: login, servers: servers, transport: transport, timekeeper: transport.clock,
            environment: environment, log: log.logger)
    }

    func logIn(_ proof: LoginProof = .sample) async throws(AgentError) -> TokenGrant {
        switch try await client.logIn(proof, within: .seconds(10)) {
        case .granted(let grant): return grant
        case .wrapped: throw AgentError(.internalFault, "wrapped")
        }
    }
}

let sampleToken = Secret(text: "hvs.CAESIBbzhrXMPNMRLxLmQyTcpnvt")

extension LoginProof {
    static let sample = LoginProof.iam(
        method: .post, url: "https://sts.eu-central-1.amazonaws.com/",
        headers: [
            HTTPHeader("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
            HTTPHeader("X-Amz-Date", "20261121T091000Z"),
            HTTPHeader("X-Amz-Security-Token", secret: Secret(text: "FwoGZXIvYXdzEXAMPLE//session+token==")),
            HTTPHeader(
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261121/eu-central-1/sts/aws4_request, "
                    + "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=00ff"),
        ], body: "Action=GetCallerIdentity&Version=2011-06-15")
}

let loginSuccess = """
    {"request_id":"1","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":null,"warnings":null,\
    "auth":{"client_token":"s.2N2Ke7SPGcgaJilpxrBLiqIb","accessor":"bBZxCNeHxow9Xl7BSCWb6nhf",\
    "policies":["app","default"],"token_policies":["app","default"],"metadata":{"account_id":"123456789012",\
    "auth_type":"iam"},"lease_duration":20,"renewable":true,"entity_id":"e-1","token_type":"service","orphan":true,\
    "mfa_requirement":null,"num_uses":0}}
    """

/// `{"errors": [text]}`, as Vault writes it.
func errors(_ text: String) -> String {
    var writer = JSONObjectWriter()
    writer.add("errors", [text])
    return writer.finish().text + "\n"
}

extension HTTPRequest {
    func header(_ name: String) -> String? {
        switch headers.first(where: { $0.name == name })?.value {
        case .plain(let text): text
        case .secret(let secret): secret.text
        case nil: nil
        }
    }
}
