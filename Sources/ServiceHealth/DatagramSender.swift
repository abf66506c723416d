// ServiceHealth: datagrams to systemd and its journal. libsystemd's own calls wait while the other side reads nothing: a
// journald that hangs would hold up the agent until the watchdog kills it.

private import CLinux
private import Glibc
private import SystemCalls

/// Sends to one unix socket, and never waits.
final class DatagramSender: Sendable {
    private let name: String
    private let socket: Descriptor

    /// A path, or an abstract name after `@`. Nil where the kernel gives no socket.
    init?(to name: String) {
        let type = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard let socket = try? Descriptor(Glibc.socket(AF_UNIX, type, 0), "socket", name) else { return nil }
        self.name = name
        self.socket = socket
    }

    /// Whether the kernel took it: not where the other side reads nothing, or is not there.
    func send(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        // SAFETY: the kernel copies both, which outlive the call.
        return unsafe vta_send_datagram(socket.number, name, bytes, bytes.count) == bytes.count
    }
}
