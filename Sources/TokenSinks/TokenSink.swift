// TokenSinks: what the runtime asks of a place where applications find the token. A simulation has its own model of it.

package import Crypto
package import Diagnosis

/// One place that holds the current token. Belongs to the agent's actor.
package protocol TokenSink: AnyObject {
    /// The kind and the path: `file /run/app/token`.
    var name: String { get }

    /// Known from a ``check()`` that has found its directory.
    var standing: SinkStanding? { get }

    /// Tries, under a name that nobody reads and with a harmless content, all that delivering will need, and removes what a
    /// killed predecessor left behind. Readers notice nothing of it.
    ///
    /// Throws `sinkUnwritable` for what is not (yet) as it must be on this machine (no such directory, read-only, unknown
    /// owner, missing privilege), `sinkFull` for want of space, `configurationInvalid` for what can work nowhere.
    func check() async throws(AgentError)

    /// Lets readers come and wait for the first token, where they can.
    func open() async throws(AgentError)

    /// Puts the token there; durable when it returns. Given what is there already it changes nothing, so it may be called
    /// as often as one likes: it is also what repairs a disturbed sink.
    @discardableResult
    func deliver(_ content: TokenContent) async throws(AgentError) -> Delivery

    /// The token that stands there now, left by an earlier run; nil where none can be read: nothing there, encrypted,
    /// wrapped, not a file.
    func heldToken() async -> Secret?

    /// Takes the token away: it was revoked, or has expired. Nothing there is not an error.
    func withdraw() async throws(AgentError)

    /// Has `onDisturbed` called, on the agent's queue, whenever the place no longer holds what was delivered: within a
    /// second, and again only after the next ``deliver(_:)``. The sink repairs nothing by itself.
    func watch(_ onDisturbed: @escaping @Sendable (SinkDisturbance) -> Void)

    /// Lets go of descriptors and watches. A file stays where it is; a socket goes.
    func close()
}

/// What ``TokenSink/deliver(_:)`` found to do.
package enum Delivery: Hashable, Sendable {
    /// All was in place.
    case unchanged
    /// The same token with news about it: a renewal moved its expiry.
    case refreshed
    /// The same content, which had been lost or altered.
    case restored
    /// Another token than before. The one case in which an `on_change` action is due.
    case rotated
}

/// Somebody else changed a sink.
package struct SinkDisturbance: Hashable, Sendable {
    package enum Kind: String, CaseIterable, Hashable, Sendable {
        /// The file or socket is gone.
        case removed
        /// There is something, but not what was delivered.
        case altered
        /// Mode, owner or group are not the configured ones.
        case permissions
        /// The reader of an encrypted sink has another key now.
        case readerKey = "reader's key"
        /// The directory is gone or another one has taken its place.
        case directory
    }

    package let kind: Kind
    /// For the log: `/run/app/token has mode 0666 instead of 0640`.
    package let observed: String

    package init(kind: Kind, observed: String) {
        self.kind = kind
        self.observed = observed
    }
}
