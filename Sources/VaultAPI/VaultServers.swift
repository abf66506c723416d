// VaultAPI: what is known of the servers that an agent asks, shared by all its tokens.

internal import Timekeeping

/// Which servers failed, and which want to be left alone: what one token's request met need not be met by a thousand others.
/// Not `Sendable`: used on the agent's actor.
package final class VaultServers {
    /// What is known of one server.
    struct Standing {
        /// It failed, and is asked after the others until then.
        var restsUntil: Instant?
        /// As its `Retry-After` says.
        var quietUntil: Instant?
        /// The last answer made no sense, or there was none: not by a connection that is there.
        var isDoubtful = false
    }

    /// Of those with which something is wrong. The same address by another way (TLS, proxy) is another server.
    private var standings: [VaultEndpoint: Standing] = [:]

    package init() {}

    subscript(endpoint: VaultEndpoint) -> Standing {
        standings[endpoint] ?? Standing()
    }

    func note(_ standing: Standing, of endpoint: VaultEndpoint) {
        standings[endpoint] = standing
    }

    /// It serves.
    func clear(_ endpoint: VaultEndpoint) {
        standings[endpoint] = nil
    }
}
