// AgentRuntime: what is remembered of a token so that the next start can take it over instead of logging in.

/// A token that an earlier run left in a sink, recognised.
///
/// The token itself is never written here: it stands in its sink. The record says which login it came from and what it
/// looks like (a digest), so that a token from elsewhere, or of another role, is never adopted.
package struct TakeoverRecord: Hashable, Sendable {
    /// Digest of everything that makes the login what it is: server, namespace, mount, method, role, AWS source.
    package var loginDigest: [UInt8]
    /// SHA-256 of the token.
    package var tokenDigest: [UInt8]

    package init(loginDigest: [UInt8], tokenDigest: [UInt8]) {
        self.loginDigest = loginDigest
        self.tokenDigest = tokenDigest
    }
}

/// Keeps a record for each token's name. May lose them: the next start then logs in.
package protocol TakeoverStore {
    func record(for tokenName: String) -> TakeoverRecord?
    func keep(_ record: TakeoverRecord?, for tokenName: String)
}
