// The command line, `doctor`: names and connections, apart from TLS and HTTP, so that a fault has one place. Blocking:
// for a command that does nothing else meanwhile.

internal import Diagnosis
private import Glibc
private import SystemCalls
internal import Timekeeping

/// Where an address of Vault's leads; nil for sockets.
struct HostAndPort {
    let host: String
    let port: UInt16

    /// The address has been checked by the configuration.
    init?(_ address: String) {
        guard let scheme = address.firstOccurrence(of: "://"), !address.hasPrefix("unix:") else { return nil }
        let authority = address[scheme.upperBound...].prefix { $0 != "/" }
        let isIPv6 = authority.hasPrefix("[")
        let host = isIPv6 ? authority.dropFirst().prefix { $0 != "]" } : authority.prefix { $0 != ":" }
        let port = authority.dropFirst(host.count + (isIPv6 ? 2 : 0)).dropFirst()
        self.host = String(host)
        self.port = UInt16(port) ?? (address.hasPrefix("https:") ? 443 : 80)
    }
}

enum NetworkProbe {
    /// The name's addresses, and the first that takes a connection; `reached` is false where none does.
    static func findings(_ target: HostAndPort, limit: Duration) -> (findings: [Finding], reached: Bool) {
        let place = "\(target.host) port \(target.port)"
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        // SAFETY: the list is freed below, and used before that only.
        let code = unsafe getaddrinfo(target.host, String(target.port), &hints, &list)
        guard code == 0 else {
            let reason = unsafe String(cString: gai_strerror(code))
            let error = AgentError(
                .vaultUnreachable, "\(target.host) has no address: \(reason)",
                remedy: "Check the name, and DNS on this machine: getent hosts \(target.host)")
            return ([.failed("DNS", error)], false)
        }
        defer { unsafe freeaddrinfo(list) }
        var names: [String] = []
        var connected: String?
        var lastReason = ""
        var next = unsafe list
        while let entry = unsafe next {
            let name = unsafe numericName(entry.pointee)
            if !names.contains(name) { names.append(name) }
            if connected == nil {
                do throws(SystemFault) {
                    try unsafe connect(to: entry.pointee, name, limit: limit)
                    connected = name
                } catch {
                    lastReason = error.words
                }
            }
            unsafe next = entry.pointee.ai_next
        }
        let dns = Finding.ok(
            "DNS", names == [target.host] ? target.host : "\(target.host): \(names.joined(separator: ", "))")
        if let connected { return ([dns, .ok("TCP", "\(place): connected to \(connected)")], true) }
        let error = AgentError(
            .vaultUnreachable, "\(place): \(lastReason)",
            remedy: "Is Vault listening there, and do security groups and network policies let this machine through?")
        return ([dns, .failed("TCP", error)], false)
    }

    /// Throws why there is no connection.
    private static func connect(to entry: addrinfo, _ name: String, limit: Duration) throws(SystemFault) {
        let type = SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue
        let socket = try Descriptor(unsafe socket(entry.ai_family, Int32(type), 0), "socket", name)
        // SAFETY: getaddrinfo gave the address and its length together.
        if unsafe Glibc.connect(socket.number, entry.ai_addr, entry.ai_addrlen) == 0 { return }
        guard errno == EINPROGRESS else { throw SystemFault("connect", name) }
        var request = pollfd(fd: socket.number, events: Int16(POLLOUT), revents: 0)
        // SAFETY: one pollfd, as the count says.
        let ready = unsafe poll(&request, 1, Int32(limit.inSeconds * 1_000))
        guard ready > 0 else { throw SystemFault("connect", name, number: ready == 0 ? ETIMEDOUT : errno) }
        var number: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        // SAFETY: the kernel writes one Int32.
        guard unsafe getsockopt(socket.number, SOL_SOCKET, SO_ERROR, &number, &size) == 0 else {
            throw SystemFault("getsockopt", name)
        }
        guard number == 0 else { throw SystemFault("connect", name, number: number) }
    }

    private static func numericName(_ entry: addrinfo) -> String {
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        // SAFETY: getnameinfo writes a NUL-terminated text of at most the size given.
        let code = unsafe getnameinfo(
            entry.ai_addr, entry.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
        return code == 0 ? String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) : "?"
    }
}
