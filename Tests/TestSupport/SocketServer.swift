// TestSupport: a server on loopback whose answers the test writes byte by byte, to misbehave as real ones do.

private import CLinux
private import Dispatch
private import Glibc
private import Synchronization
private import SystemCalls

/// One accepted connection, with blocking calls.
package final class Peer: Sendable {
    private let socket: Descriptor

    fileprivate init(_ socket: consuming Descriptor) {
        self.socket = socket
    }

    /// Reads a request: its head, and as much body as `Content-Length` says. Nil at the connection's end.
    package func request() -> String? {
        var text = ""
        while true {
            if let end = text.firstRange(of: "\r\n\r\n") {
                let wanted =
                    text[..<end.lowerBound].lowercased().split(separator: "\r\n")
                    .first { $0.hasPrefix("content-length:") }
                    .flatMap { Int($0.dropFirst("content-length:".count).filter(\.isNumber)) } ?? 0
                if text[end.upperBound...].utf8.count >= wanted { return text }
            }
            var part = [UInt8](repeating: 0, count: 65_536)
            let count = unsafe read(socket.number, &part, part.count)
            guard count > 0 else { return nil }
            text += String(decoding: part[..<count], as: UTF8.self)
        }
    }

    /// False once the other side has gone.
    @discardableResult
    package func write(_ text: String) -> Bool {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = unsafe bytes.withUnsafeBytes { part in
                unsafe send(socket.number, part.baseAddress, part.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            bytes = bytes.dropFirst(count)
        }
        return true
    }

    package func reply(_ body: String, status: String = "200 OK", headers: String = "") {
        write("HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\(headers)\r\n\(body)")
    }

    /// Ends the connection; nothing more can be read or written.
    package func end() {
        shutdown(socket.number, Int32(SHUT_RDWR))
    }

    /// Blocks until the other side ends the connection.
    package func waitForEnd() {
        var byte: UInt8 = 0
        while unsafe read(socket.number, &byte, 1) > 0 {}
    }

    /// Passes bytes on in both directions between this connection and a loopback port, as a proxy's tunnel does.
    package func relay(toPort port: Int) {
        guard let other = Peer(connectedTo: port) else { return }
        let back = DispatchGroup()
        DispatchQueue(label: "test tunnel").async(group: back) { other.pump(to: self) }
        pump(to: other)
        back.wait()
    }

    private convenience init?(connectedTo port: Int) {
        let address = SocketAddress(.ipv4, port: port)
        guard let socket = try? address.socket(), address.connect(socket.number) else { return nil }
        self.init(socket)
    }

    private func pump(to other: Peer) {
        var part = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = unsafe read(socket.number, &part, part.count)
            guard count > 0, unsafe send(other.socket.number, part, count, Int32(MSG_NOSIGNAL)) == count else { break }
        }
        shutdown(other.socket.number, Int32(SHUT_WR))
    }

    /// Has the close that follows send a reset instead of an orderly end.
    package func resetOnClose() {
        var setting = linger(l_onoff: 1, l_linger: 0)
        unsafe setsockopt(socket.number, SOL_SOCKET, SO_LINGER, &setting, socklen_t(MemoryLayout<linger>.size))
    }
}

/// Listens on a free loopback port, or on a Unix socket, and runs `serve` for each connection on a queue of its own.
package final class SocketServer: Sendable {
    package let port: Int
    private let listener: Listener
    private let accepted: Counter
    private let ended: Counter
    private let seen: Requests

    package enum Place {
        case ipv4
        case ipv6
        case unix(String)
    }

    package struct Unavailable: Error {
        package let errno: Int32
    }

    package convenience init(_ place: Place = .ipv4, _ serve: @escaping @Sendable (Peer) -> Void) throws {
        try self.init(place, Requests(), serve)
    }

    private init(_ place: Place, _ requests: Requests, _ serve: @escaping @Sendable (Peer) -> Void) throws {
        seen = requests
        let accepted = Counter()
        let ended = Counter()
        (self.accepted, self.ended) = (accepted, ended)
        let address = SocketAddress(place)
        let listener = Listener(try address.socket())
        guard address.bind(listener.socket.number), listen(listener.socket.number, 128) == 0 else {
            throw Unavailable(errno: errno)
        }
        self.listener = listener
        port = SocketAddress.port(of: listener.socket.number)
        DispatchQueue(label: "test server").async {
            while !listener.isShutDown.load(ordering: .acquiring) {
                // Of no child of another test's: it would hold the connection open when this server has ended it.
                let number = accept4(listener.socket.number, nil, nil, Int32(SOCK_CLOEXEC.rawValue))
                guard let connection = try? Descriptor(number, "accept", "(test)") else { continue }
                accepted.value.withLock { $0 += 1 }
                let peer = Peer(connection)
                DispatchQueue(label: "test peer").async {
                    serve(peer)
                    ended.value.withLock { $0 += 1 }
                }
            }
        }
    }

    deinit {
        listener.isShutDown.store(true, ordering: .releasing)
        // Ends the accept.
        shutdown(listener.socket.number, Int32(SHUT_RDWR))
    }

    /// Answers every request by `answer`, on connections that stay open.
    package convenience init(
        _ place: Place = .ipv4, answering answer: @escaping @Sendable (Peer, String) -> Void
    ) throws {
        let requests = Requests()
        try self.init(place, requests) { peer in
            while let request = peer.request() {
                requests.value.withLock { $0.append(request) }
                answer(peer, request)
            }
        }
    }

    package var connections: Int { accepted.value.withLock { $0 } }

    /// Connections that are still served.
    package var open: Int { connections - ended.value.withLock { $0 } }

    /// What `answering` has answered.
    package var requests: [String] { seen.value.withLock { $0 } }

    package var url: String { "http://127.0.0.1:\(port)" }
}

/// Of the server and of those who wait for connections: open until neither uses it.
private final class Listener: Sendable {
    let socket: Descriptor
    let isShutDown = Atomic(false)

    init(_ socket: consuming Descriptor) {
        self.socket = socket
    }
}

private final class Counter: Sendable {
    let value = Mutex(0)
}

private final class Requests: Sendable {
    let value = Mutex<[String]>([])
}

/// A socket address of one of three families.
private struct SocketAddress {
    private var storage = sockaddr_storage()
    private var length: socklen_t

    init(_ place: SocketServer.Place, port: Int = 0) {
        length = unsafe withUnsafeMutableBytes(of: &storage) { bytes in
            switch place {
            case .ipv4:
                let address = sockaddr_in(
                    sin_family: sa_family_t(AF_INET), sin_port: in_port_t(port).bigEndian,
                    sin_addr: in_addr(s_addr: UInt32(0x7F00_0001).bigEndian),
                    sin_zero: (0, 0, 0, 0, 0, 0, 0, 0))
                unsafe bytes.storeBytes(of: address, as: sockaddr_in.self)
                return socklen_t(MemoryLayout<sockaddr_in>.size)
            case .ipv6:
                var address = sockaddr_in6()
                address.sin6_family = sa_family_t(AF_INET6)
                address.sin6_addr = in6addr_loopback
                unsafe bytes.storeBytes(of: address, as: sockaddr_in6.self)
                return socklen_t(MemoryLayout<sockaddr_in6>.size)
            case .unix(let path):
                unsafe bytes.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self)
                unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[2...]).copyBytes(from: path.utf8)
                return socklen_t(2 + path.utf8.count + 1)
            }
        }
    }

    /// One of its family.
    func socket() throws(SystemFault) -> Descriptor {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        return try Descriptor(Glibc.socket(Int32(storage.ss_family), type, 0), "socket", "(test)")
    }

    func bind(_ descriptor: Int32) -> Bool {
        unsafe withUnsafeBytes(of: storage) { bytes in
            unsafe Glibc.bind(descriptor, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), length) == 0
        }
    }

    func connect(_ descriptor: Int32) -> Bool {
        unsafe withUnsafeBytes(of: storage) { bytes in
            unsafe Glibc.connect(descriptor, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), length) == 0
        }
    }

    static func port(of descriptor: Int32) -> Int {
        var name = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return unsafe withUnsafeMutableBytes(of: &name) { bytes in
            unsafe getsockname(descriptor, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length)
            // Port: the two bytes after the family, in network order, in both families.
            return unsafe Int(bytes[2]) << 8 | Int(bytes[3])
        }
    }
}
