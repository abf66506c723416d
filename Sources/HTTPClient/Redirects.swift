// HTTPClient: which redirects are followed, and where to. The token goes along, so it must stay among friends.

/// What to do with a redirect.
package enum RedirectPolicy: Hashable, Sendable {
    /// Hand the 3xx to the caller.
    case never
    /// Follow with method and body kept: 307 and 308, and one 301 or 302; three in all. Never from https to http, never out
    /// of a Unix socket, only to hosts of the scope. What is not followed fails the request.
    case follow(RedirectScope)
}

/// To which hosts redirects may lead.
package struct RedirectScope: Hashable, Sendable {
    /// Hosts that were configured, and with them every host below one of them.
    package let hosts: [String]
    /// Further ones, in NO_PROXY's syntax: a domain (its subdomains included), an address, a block such as `10.0.0.0/8`.
    package let listed: [String]

    package init(hosts: [String], listed: [String] = []) {
        self.hosts = hosts
        self.listed = listed
    }

    func holds(_ target: WebAddress) -> Bool {
        let matcher = HostMatcher(host: target.host, port: target.port)
        return hosts.contains { isWithin($0, target.host) } || listed.contains { matcher.matches($0[...]) }
    }
}

/// Whether `host` is the configured one or stands below it, which is for the same owner to decide. A neighbour below the same
/// parent may be anybody's: nothing on this machine tells `example.com` from `co.uk` or a cloud's `elb.amazonaws.com`.
private func isWithin(_ configured: String, _ host: String) -> Bool {
    let (configured, host) = (plainName(configured), plainName(host))
    if configured == host { return true }
    guard IPAddress(configured) == nil, IPAddress(host) == nil else { return false }
    return host.hasSuffix("." + configured)
}

private func plainName(_ host: String) -> String {
    (host.hasSuffix(".") ? String(host.dropLast()) : host).lowercased()
}

extension RedirectScope {
    /// Where a reply sends on a request that has been sent on `hops` times; nil where it is the answer.
    func next(after transfer: Transfer, hops: Int, movedBefore: Bool) throws(HTTPFailure) -> WebAddress? {
        guard [301, 302, 303, 307, 308].contains(transfer.head.status) else { return nil }
        let refused = { (why: String) in
            HTTPFailure(
                .replyMalformed,
                "\(transfer.peer) answers \(transfer.head.status) with a redirect that is not followed: \(why)",
                maybeSent: true)
        }
        guard transfer.head.status != 303 else { throw refused("it asks for another method") }
        guard hops < 3 else { throw refused("it is the \(hops + 1)th in a row") }
        guard !movedBefore || transfer.head.status >= 307 else { throw refused("a 301 or 302 is followed once") }
        guard let location = transfer.head.fields.first(where: { $0.name == "location" })?.value else {
            throw refused("it has no Location")
        }
        let next: WebAddress
        do {
            next = try transfer.address.resolving(location)
        } catch {
            throw refused(error.observed)
        }
        guard transfer.address.scheme == .http || next.scheme == .https else {
            throw refused("it leads from https to http, to \(next.authority)")
        }
        if transfer.request.route.unixSocketPath != nil {
            guard next.authority == transfer.address.authority, next.scheme == .http else {
                throw refused("it leads out of the socket, to \(next.authority)")
            }
        } else {
            guard holds(next) else {
                throw refused("\(next.host) is neither configured, nor below what is, nor listed for redirects")
            }
        }
        return next
    }
}
