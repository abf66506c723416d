// StateDirectory: what is remembered of the tokens in the sinks so that the next start can go on with them.

package import Timekeeping

/// The tokens that stand in the sinks of one configured token, recognised.
///
/// A token itself is never written here: it stands in its sink. The record says which login it came from, whose it is and
/// what it looks like (a digest), so that a token from elsewhere, or of another role, is never adopted; and its lease, so
/// that a restart in an outage goes on at the pace of before.
package struct TakeoverRecord: Hashable, Sendable {
    package struct Entry: Hashable, Sendable {
        /// SHA-256 of the sink's path; nil: any, by a record of an older format.
        package var sink: [UInt8]?
        /// SHA-256 of the token.
        package var token: [UInt8]
        /// Digest of everything that makes the login what it is: server, namespace, mount, method, role, AWS source; for a
        /// child of its policies too.
        package var origin: [UInt8]
        /// SHA-256 of the token that it is a child of.
        package var parent: [UInt8]?
        /// Who logged in, as Vault's metadata says; may be empty.
        package var principal = ""
        /// Whose it is, in one word, as the source of the AWS credentials told it; may be empty.
        package var identity = ""
        /// Nil: nothing is known of it.
        package var lease: Lease?

        package init(
            sink: [UInt8]? = nil, token: [UInt8], origin: [UInt8], parent: [UInt8]? = nil, principal: String = "",
            identity: String = "", lease: Lease? = nil
        ) {
            self.identity = identity
            self.sink = sink
            self.token = token
            self.origin = origin
            self.parent = parent
            self.principal = principal
            self.lease = lease
        }
    }

    /// A moment by both clocks: calendar time may be set meanwhile, time since boot begins anew with each boot.
    package struct Moment: Hashable, Sendable {
        package var calendar: WallTime
        package var sinceBoot: Instant

        package init(calendar: WallTime, sinceBoot: Instant) {
            self.calendar = calendar
            self.sinceBoot = sinceBoot
        }
    }

    package struct Lease: Hashable, Sendable {
        /// Nil: never.
        package var expiry: Moment?
        /// The longest that Vault gave at once; nil: never expires.
        package var full: Duration?
        package var renewable: Bool
        package var limitedUses: Bool

        package init(expiry: Moment?, full: Duration?, renewable: Bool, limitedUses: Bool) {
            self.expiry = expiry
            self.full = full
            self.renewable = renewable
            self.limitedUses = limitedUses
        }
    }

    /// Names the boot that it was written in; nil: unknown, and moments since boot mean nothing.
    package var boot: String?
    /// The newest token first.
    package var entries: [Entry]

    package init(boot: String?, entries: [Entry]) {
        self.boot = boot
        self.entries = entries
    }
}

/// Keeps a record for each token's name. May lose them: the next start then logs in.
package protocol TakeoverStore {
    func record(for tokenName: String) async -> TakeoverRecord?

    /// Returns once it is on disk, or cannot be: however long a disk takes. One call at a time for each name.
    func keep(_ record: TakeoverRecord?, for tokenName: String) async
}
