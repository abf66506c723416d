// VaultAPI: every answer that is not a success, what it means and what the reader can do about it. One table, first match wins.
//
// Status codes mislead: fatal conditions come as 500, passing ones as 400. So most rows go by the words. The words are
// those of Vault 1.8 to 1.19 and OpenBao 2.x; rows marked "seen" were met on the wire of OpenBao 2.7 (the tests against a
// real server meet them again), the others were read in the servers' sources, above all the aws method's path_login.go.

internal import Diagnosis

extension Answer {
    /// From top to bottom; ``unknown`` where nothing matches.
    static let table: [Answer] =
        clusterRows + stsRows + iamRows + ec2Rows + loginRows + renewalRows + childRows + wrappingRows + tokenRows
        + pageRows

    static func row(
        _ operations: Set<VaultOperation>, _ statuses: ClosedRange<Int>, _ words: [String], _ code: AgentError.Code,
        about subject: Subject = .request, _ remedy: String
    ) -> Answer {
        Answer(
            operations: operations, statuses: statuses, words: words, code: code, subject: subject, remedy: remedy)
    }

    static let any = Set(VaultOperation.allCases)
    static let ofToken = any.subtracting([.login])
    static let errors = 400...599

    // MARK: The cluster

    private static let clusterRows = [
        // Seen: "Vault is sealed".
        row(
            any, 503...503, ["sealed"], .vaultUnavailable, about: .server,
            "Unseal that server (`vault operator unseal`), or wait for its auto-unseal; the agent keeps trying"),
        row(
            any, 503...503, ["locked"], .vaultUnavailable,
            "An administrator has locked the namespace: `vault namespace unlock {namespace}`"),
        row(
            any, 500...500, ["local node not active but active cluster node not found"], .vaultUnavailable,
            about: .server,
            "The cluster is choosing a leader, or has lost its quorum: `vault operator raft list-peers`; the agent keeps trying"
        ),
        // Seen: "request path \"…\": rate limit quota exceeded", Retry-After where the server is set to send it.
        row(
            any, 429...429, [], .vaultThrottled, about: .server,
            "A quota of Vault's or a limit of a proxy is used up; the agent waits as long as it was told. "
                + "`vault list sys/quotas/rate-limit` and `vault list sys/quotas/lease-count` show the quotas"),
        // Vault Enterprise, adaptive overload protection: "… overloaded, try again later".
        row(
            any, 503...503, ["overloaded"], .vaultThrottled, about: .server,
            "Vault sheds load; the agent leaves it alone, longer each time it says so"),
        row(
            any, 412...412, [], .vaultUnavailable, about: .server,
            "This server has not yet heard of the token (performance replication); the agent tries again shortly"),
        row(
            any, 400...500, ["cannot write to readonly storage"], .vaultUnavailable, about: .server,
            "This server is a standby that may not write; the agent tries again shortly. If it stays, give the active "
                + "server's address in vault.address"),
        row(
            any, 502...502, ["upstream rate limited"], .vaultThrottled,
            "AWS slows Vault down; the agent leaves it alone, longer each time it says so"),
        row(
            any, 502...504, [], .vaultUnavailable, about: .server,
            "That server, or the proxy or load balancer before it, cannot serve now; the agent keeps trying"),
        row(
            any, 472...473, [], .vaultUnavailable, about: .server,
            "That server is a secondary or a performance standby behind a health check; the agent keeps trying"),
    ]

    // MARK: Not Vault's own pages

    private static let pageRows = [
        row(
            any, 300...399, [], .vaultUnavailable, about: .server,
            "Redirected to where the agent does not follow: put the final address into vault.address"),
        // Seen.
        row(
            any, 400...400, ["client sent an http request to an https server"], .vaultUnreachable, about: .server,
            "Vault speaks TLS there: write https:// in vault.address"),
        row(
            any, 407...407, [], .vaultUnreachable, about: .server,
            "The proxy wants a login: put it into the proxy's URL, or the host into NO_PROXY"),
        row(
            any, 501...501, [], .vaultUnavailable, about: .server,
            "That server is not initialised, or does not know the request: `vault operator init`"),
    ]
}
