// TokenLifecycle: what of a token's configuration concerns the core, and what is found when a run begins.

package import Timekeeping

/// The lines and sinks of one configured token.
package struct LifecycleOutline: Hashable, Sendable {
    package struct Sink: Hashable, Sendable {
        package let id: SinkID
        package let line: LineID
        /// Nil: it holds the token itself.
        package let wrapTTL: Duration?
        /// The sink at the same place that this one takes the place of, by other settings.
        package let successorOf: SinkID?

        package init(id: SinkID, line: LineID, wrapTTL: Duration?, successorOf: SinkID? = nil) {
            self.id = id
            self.line = line
            self.wrapTTL = wrapTTL
            self.successorOf = successorOf
        }
    }

    package var policy: LifecyclePolicy
    /// The lines of children; that of the login is always there.
    package var children: [LineID]
    package var sinks: [Sink]
    /// Vault asks AWS at each renewal, as it does for `ec2` logins.
    package var renewalAsksAWS: Bool

    package init(
        policy: LifecyclePolicy, children: [LineID] = [], sinks: [Sink], renewalAsksAWS: Bool = false
    ) {
        self.policy = policy
        self.renewalAsksAWS = renewalAsksAWS
        self.children = children
        self.sinks = sinks
    }
}

/// What a reload means for the token that is held.
package enum LoginChange: Hashable, Sendable {
    /// It comes from the server and the login that are configured.
    case fits
    /// It does not, and did not before the reload: the login that replaces it is due, or under way.
    case awaited
    /// The login is another than before the reload. One that is under way is of no use; the next is not made before that moment.
    case other(from: Instant)
}

/// A token that an earlier run left in sinks.
package struct FoundToken: Hashable, Sendable {
    package let id: TokenID
    package let line: LineID
    /// The token that it is a child of.
    package let parent: TokenID?
    /// Nil: nothing is known of it.
    package let lease: KnownLease?
    package let sinks: [SinkID]

    package init(id: TokenID, line: LineID, parent: TokenID? = nil, lease: KnownLease?, sinks: [SinkID]) {
        self.id = id
        self.line = line
        self.parent = parent
        self.lease = lease
        self.sinks = sinks
    }
}
