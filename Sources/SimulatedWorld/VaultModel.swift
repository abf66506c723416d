// SimulatedWorld: a model of Vault: tokens with leases and maxima, the aws login, and every way to fail at them.

import Crypto
import HTTPClient
import SecretJSON
import Timekeeping
import TokenLifecycle

/// What a role gives.
package struct RoleOptions: Sendable {
    /// Zero: never expires.
    package var ttl: Duration
    package var maximum: Duration
    package var periodic = false
    package var renewable = true
    /// Zero: unlimited.
    package var uses = 0
    package var forbidsLookups = false
}

/// Vault's side of the world. Answers a request at the moment it arrives.
final class VaultModel {
    struct Token {
        let number: UInt64
        /// The configured token that it was made for, by its role: `app`, `second`, and `app/1` for a child.
        let line: String
        /// The role that was logged in to, for it or for its parent.
        let loginRole: String
        /// The token that it dies with.
        let parent: String?
        /// Of a wrapping token: what stands behind it.
        var inside: String?
        let issuedAt: Instant
        var expiry: Instant?
        var full: Duration?
        let role: RoleOptions
        var revoked = false
        var usesLeft: Int

        /// The expiry that the agent was told of: an answer that was lost moved the true one only.
        var toldExpiry: Instant?
        /// When it was told last.
        var toldAt = Instant.distantPast

        /// Whether asking shows that it is revoked: not where the role forbids to ask, or each question costs a use.
        var isNoticedDead: Bool { !role.forbidsLookups && role.uses == 0 }

        func isValid(at now: Instant) -> Bool {
            !revoked && (expiry.map { now < $0 } ?? true)
        }
    }

    private let loop: SimulatedLoop
    var role: RoleOptions
    private(set) var tokens: [String: Token] = [:]
    /// Of those that are forgotten.
    private var formerLines: [String: String] = [:]
    private var issued: UInt64 = 0
    /// The token that each kind of request for a new one has brought last.
    private var latest: [String: String] = [:]
    /// When AWS stops accepting the credentials of a key, by key.
    var credentialsExpiry: [String: WallTime] = [:]

    init(loop: SimulatedLoop, role: RoleOptions) {
        self.loop = loop
        self.role = role
    }

    private(set) var logins: UInt64 = 0

    /// The latest expiry that the agent was told of, by line.
    private(set) var latestToldExpiry: [String: Instant] = [:]

    /// The answer to this request has reached the agent. The full lease of the token that it is about, if it has one.
    func told(_ request: HTTPRequest) -> Duration? {
        // What is said of a wrapping token or a revocation tells nothing of how long the token lives.
        let tells = ["/login", "/create", "/renew-self", "/lookup-self"].contains { request.url.hasSuffix($0) }
        let name = latest[Self.key(request)] ?? request.text(of: "X-Vault-Token")
        guard tells, let name, var token = tokens[name], token.inside == nil else { return nil }
        (token.toldExpiry, token.toldAt) = (token.expiry, loop.now)
        latestToldExpiry[token.line] = token.expiry.map { max($0, latestToldExpiry[token.line] ?? $0) }
        tokens[name] = token
        return token.full
    }

    /// Which requests bring tokens for the same line.
    private static func key(_ request: HTTPRequest) -> String {
        switch true {
        case request.url.hasSuffix("/login"):
            "login \(request.body.flatMap { try? JSONValue(reading: $0) }?["role"]?.string?.text ?? "")"
        case request.url.hasSuffix("/create"): "create"
        default: ""
        }
    }

    /// The configured token that it was made for; known for good.
    func line(of token: String) -> String? {
        tokens[token]?.line ?? formerLines[token]
    }

    /// The configured token that a login is for.
    func line(ofLogin request: HTTPRequest) -> String {
        role(ofLogin: request) == "second" ? "second" : "app"
    }

    private func role(ofLogin request: HTTPRequest) -> String {
        request.body.flatMap { try? JSONValue(reading: $0) }?["role"]?.string?.text ?? ""
    }

    /// Whether a token is valid, and those that it depends on.
    func isValid(_ name: String, at now: Instant) -> Bool {
        guard let token = tokens[name], token.isValid(at: now) else { return false }
        if let inside = token.inside, !isValid(inside, at: now) { return false }
        return token.parent.map { isValid($0, at: now) } ?? true
    }

    func revoke(_ token: String) {
        tokens[token]?.revoked = true
    }

    func revokeAll(shorterThan lease: Duration) {
        for (name, token) in tokens where token.full.map({ $0 < lease }) ?? false { tokens[name]?.revoked = true }
    }

    // MARK: Requests

    func answer(_ request: HTTPRequest) -> (status: Int, body: String) {
        let path = request.url.drop { $0 != "/" }.dropFirst(2).drop { $0 != "/" }
        switch (request.method, path) {
        case (.post, "/v1/auth/aws/login"): return logIn(request)
        case (.post, "/v1/auth/token/renew-self"): return withToken(request) { renew(&$0, request) }
        case (.get, "/v1/auth/token/lookup-self"):
            return withToken(request) { token in
                token.role.forbidsLookups ? Self.denied : lookUp(token)
            }
        case (.post, "/v1/auth/token/create"): return withToken(request) { createChild(of: &$0, request) }
        case (.post, "/v1/sys/wrapping/wrap"): return withToken(request) { wrap($0, request) }
        case (.post, "/v1/auth/token/revoke-self"):
            return withToken(request) { token in
                token.revoked = true
                return (204, "")
            }
        default: return (404, #"{"errors":["no handler for route"]}"#)
        }
    }

    private static let denied = (403, #"{"errors":["permission denied"]}"#)

    private func withToken(
        _ request: HTTPRequest, _ body: (inout Token) -> (status: Int, body: String)
    ) -> (status: Int, body: String) {
        guard let text = request.text(of: "X-Vault-Token"), var token = tokens[text], isValid(text, at: loop.now) else {
            return Self.denied
        }
        if token.role.uses > 0 {
            token.usesLeft -= 1
            if token.usesLeft <= 0 { token.revoked = true }
        }
        let answer = body(&token)
        tokens[text] = token
        return answer
    }

    private func logIn(_ request: HTTPRequest) -> (status: Int, body: String) {
        guard let body = request.body, let json = try? JSONValue(reading: body),
            let encoded = json["iam_request_headers"]?.string?.text,
            let headers = decodedBase64(encoded).flatMap({ try? JSONValue(reading: Secret($0)) })
        else { return (400, #"{"errors":["missing iam_request_headers"]}"#) }
        func header(_ name: String) -> String? {
            headers[name]?.string?.text ?? headers[name]?.array?.first?.string?.text
        }
        guard let date = header("X-Amz-Date").flatMap(WallTime.init(amzDate:)) else {
            return (400, #"{"errors":["missing X-Amz-Date"]}"#)
        }
        let skew = loop.trueTime - date
        if skew > .seconds(300) || skew < .seconds(-300) {
            // STS quotes its own time.
            let (now, late) = (loop.trueTime.amzDate, skew > .zero)
            return (
                400,
                #"{"errors":["error making upstream request: received error code 403 from STS: <Error><Code>"#
                    + #"SignatureDoesNotMatch</Code><Message>Signature \#(late ? "expired" : "not yet current")"#
                    + #": \#(date.amzDate) is off (\#(now) \#(late ? "-" : "+") 5 min.)</Message></Error>"]}"#
            )
        }
        // AWS4-HMAC-SHA256 Credential=KEY/…
        let key = header("Authorization")?.drop { $0 != "=" }.dropFirst().prefix { $0 != "/" }
        if let key, let expiry = credentialsExpiry[String(key)], expiry <= loop.trueTime {
            return (
                400,
                #"{"errors":["error making upstream request: received error code 403 from STS: <Error><Code>"#
                    + #"ExpiredToken</Code><Message>The security token is expired</Message></Error>"]}"#
            )
        }
        issued += 1
        logins += 1
        // Long dead ones are as good as unknown.
        if issued % 64 == 0 {
            let longAgo = loop.now - .seconds(86_400)
            for (name, token) in tokens where token.expiry.map({ $0 <= longAgo }) ?? false {
                formerLines[name] = token.line
                tokens[name] = nil
            }
        }
        let text = "hvs.simulated\(issued)"
        latest[Self.key(request)] = text
        let lease = role.ttl == .zero ? nil : min(role.ttl, role.maximum)
        tokens[text] = Token(
            number: issued, line: line(ofLogin: request), loginRole: role(ofLogin: request), parent: nil,
            issuedAt: loop.now, expiry: lease.map { loop.now + $0 }, full: lease, role: role, usesLeft: role.uses)
        return (
            200,
            #"{"auth":{"client_token":"\#(text)","accessor":"accessor\#(issued)","policies":["default","app"],"#
                + #""token_policies":["default","app"],"metadata":{"auth_type":"iam"},"lease_duration":"#
                + #"\#(lease?.components.seconds ?? 0),"renewable":\#(role.renewable && role.ttl > .zero),"entity_id":"","#
                + #""token_type":"service","orphan":true,"num_uses":\#(role.uses)},"warnings":null}"#
        )
    }

    private func createChild(of parent: inout Token, _ request: HTTPRequest) -> (status: Int, body: String) {
        guard let name = request.text(of: "X-Vault-Token") else { return Self.denied }
        issued += 1
        let text = "hvs.simulated\(issued)"
        latest[Self.key(request)] = text
        let lease = role.ttl == .zero ? .seconds(768 * 3_600) : min(role.ttl, role.maximum)
        var own = parent.role
        (own.uses, own.periodic) = (0, false)
        tokens[text] = Token(
            number: issued, line: "app/1", loginRole: parent.loginRole, parent: name, issuedAt: loop.now,
            expiry: loop.now + lease, full: lease, role: own, usesLeft: 0)
        return (
            200,
            #"{"auth":{"client_token":"\#(text)","accessor":"accessor\#(issued)","policies":["reader"],"#
                + #""token_policies":["reader"],"metadata":null,"lease_duration":\#(lease.components.seconds),"#
                + #""renewable":true,"entity_id":"","token_type":"service","orphan":false,"num_uses":0},"warnings":null}"#
        )
    }

    private func wrap(_ token: Token, _ request: HTTPRequest) -> (status: Int, body: String) {
        guard let name = request.text(of: "X-Vault-Token") else { return Self.denied }
        let asked = request.headers.first { $0.name == "X-Vault-Wrap-TTL" }
        guard asked != nil else { return (400, #"{"errors":["no wrap TTL"]}"#) }
        issued += 1
        let text = "hvs.wrapping\(issued)"
        let lease = Self.wrapTTL
        tokens[text] = Token(
            number: issued, line: token.line, loginRole: token.loginRole, parent: nil, inside: name,
            issuedAt: loop.now, expiry: loop.now + lease, full: lease, role: token.role, usesLeft: 1)
        return (
            200,
            #"{"wrap_info":{"token":"\#(text)","accessor":"accessor\#(issued)","ttl":\#(lease.components.seconds),"#
                + #""creation_time":"\#(loop.trueTime.rfc3339)","creation_path":"sys/wrapping/wrap","wrapped_accessor":""}}"#
        )
    }

    static let wrapTTL: Duration = .seconds(600)

    private func renew(_ token: inout Token, _ request: HTTPRequest) -> (status: Int, body: String) {
        guard token.role.renewable, token.expiry != nil else {
            return (400, #"{"errors":["lease is not renewable"]}"#)
        }
        let asked = request.body.flatMap { try? JSONValue(reading: $0) }?["increment"]?.integer.map {
            Duration.seconds($0)
        }
        var lease = token.role.periodic ? token.role.ttl : asked ?? token.role.ttl
        if !token.role.periodic {
            lease = min(lease, token.issuedAt + token.role.maximum - loop.now)
        }
        let seconds = lease.components.seconds
        guard seconds > 0 else { return (500, #"{"errors":["past the max TTL, cannot renew"]}"#) }
        token.expiry = loop.now + .seconds(seconds)
        if let asked, lease == asked { token.full = asked }
        return (
            200,
            #"{"auth":{"client_token":"","accessor":"accessor\#(token.number)","policies":["default","app"],"#
                + #""lease_duration":\#(seconds),"renewable":true,"token_type":"service","num_uses":0},"warnings":null}"#
        )
    }

    private func lookUp(_ token: Token) -> (status: Int, body: String) {
        let left = token.expiry.map { max(0, ($0 - loop.now).components.seconds) } ?? 0
        let expireTime = token.expiry.map { "\"\((loop.trueTime + ($0 - loop.now)).rfc3339)\"" } ?? "null"
        return (
            200,
            #"{"data":{"accessor":"accessor\#(token.number)","creation_time":1790000000,"creation_ttl":"#
                + #"\#(token.full?.components.seconds ?? 0),"expire_time":\#(expireTime),"explicit_max_ttl":0,"id":"hidden","#
                + #""num_uses":\#(token.role.uses),"orphan":true,"path":"auth/aws/login","policies":["default","app"],"#
                + (token.role.periodic ? #""period":\#(token.role.ttl.components.seconds),"# : "")
                + #""renewable":\#(token.role.renewable && token.expiry != nil),"ttl":\#(left),"type":"service"}}"#
        )
    }
}

extension HTTPRequest {
    /// A header's value in clear; a model may see what the agent hides from logs.
    func text(of name: String) -> String? {
        headers.first { $0.name == name }.map { header in
            switch header.value {
            case .plain(let text): text
            case .secret(let secret): secret.text
            }
        }
    }
}

extension WallTime {
    /// Reads `20261121T091000Z`.
    init?(amzDate text: String) {
        let digits = Array(text)
        guard digits.count == 16 else { return nil }
        func part(_ range: Range<Int>) -> String { String(digits[range]) }
        self.init(
            rfc3339: "\(part(0..<4))-\(part(4..<6))-\(part(6..<8))T\(part(9..<11)):\(part(11..<13)):\(part(13..<15))Z")
    }
}

/// Nil where it is not base64.
private func decodedBase64(_ text: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    var bits: UInt32 = 0
    var count = 0
    for character in text.utf8 where character != UInt8(ascii: "=") {
        let value: UInt8
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = character - UInt8(ascii: "A")
        case UInt8(ascii: "a")...UInt8(ascii: "z"): value = character - UInt8(ascii: "a") + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): value = character - UInt8(ascii: "0") + 52
        case UInt8(ascii: "+"): value = 62
        case UInt8(ascii: "/"): value = 63
        default: return nil
        }
        bits = bits << 6 | UInt32(value)
        count += 6
        if count >= 8 {
            count -= 8
            bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
        }
    }
    return bytes
}
