// SimulatedWorld: a model of EC2's instance metadata service: version 2, one role, credentials that rotate.

import HTTPClient
import Timekeeping

final class MetadataModel {
    private let loop: SimulatedLoop
    private var generation = 0
    private var expiry: WallTime
    /// When AWS stops accepting a key, by key: for Vault's side.
    private(set) var keys: [String: WallTime] = [:]

    init(loop: SimulatedLoop) {
        self.loop = loop
        expiry = loop.trueTime
    }

    func answer(_ request: HTTPRequest, expired: Bool, hasRole: Bool) -> (status: Int, body: String) {
        let path = request.url.drop { $0 != "/" }.dropFirst(2).drop { $0 != "/" }
        switch (request.method, path) {
        case (.put, "/latest/api/token"): return (200, "metadata-token")
        case (.get, "/latest/meta-data/iam/security-credentials/"):
            return hasRole ? (200, "web") : (404, "no role")
        case (.get, "/latest/meta-data/iam/security-credentials/web"):
            return hasRole ? (200, credentials(expired: expired)) : (404, "no role")
        case (.get, "/latest/meta-data/placement/region"): return (200, "eu-west-1")
        default: return (404, "not found")
        }
    }

    private func credentials(expired: Bool) -> String {
        if !expired, expiry - loop.trueTime < .seconds(3_600) {
            generation += 1
            expiry = loop.trueTime + .seconds(6 * 3_600)
        }
        let key = "ASIASIMULATED\(1_000 + generation)"
        keys[key] = expiry
        return #"{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"\#(key)","SecretAccessKey":"simulated-secret-key","#
            + #""Token":"simulated-session-token","Expiration":"\#(expiry.rfc3339)","LastUpdated":"\#(loop.trueTime.rfc3339)"}"#
    }
}
