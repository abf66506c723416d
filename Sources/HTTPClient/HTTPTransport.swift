// HTTPClient: what the rooms that speak HTTP ask for. libcurl answers in production, a model of the world in simulations.

/// Why there is no reply. Says what was seen; the caller knows whom it asked and what to advise.
package struct HTTPFailure: Error, Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        case badURL
        case nameNotResolved
        case connectionRefused
        case noRoute
        /// No connection within the connect time-out.
        case connectTimedOut
        /// Connected, and no whole reply within the total time-out.
        case replyTimedOut
        /// The connection ended before the reply did.
        case connectionLost
        case proxyFailed
        /// The peer's certificate is not trusted, out of date or for another name.
        case certificateRefused
        /// TLS failed otherwise: versions, alerts (a client certificate wanted), a file of our own that cannot be used.
        case tlsFailed
        case replyTooLong
        /// Not HTTP, or a redirect that must not be followed.
        case replyMalformed
        case cancelled
        case other
    }

    package let kind: Kind
    /// One clause, with host and port, without secrets: "certificate of vault:8200 is for other names: a.example, b.example".
    package let observed: String
    /// Whether the request may have reached the server: false where it surely has not.
    package let maybeSent: Bool

    package init(_ kind: Kind, _ observed: String, maybeSent: Bool) {
        self.kind = kind
        self.observed = observed
        self.maybeSent = maybeSent
    }
}

package protocol HTTPTransport: Sendable {
    /// Sends one request. Cancelling the task ends it at once with `.cancelled`.
    func send(_ request: HTTPRequest) async throws(HTTPFailure) -> HTTPReply
}
