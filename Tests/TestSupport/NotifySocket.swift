// TestSupport: systemd's ear.

package import Glibc
private import SystemCalls

/// A notification socket as systemd would make it, in the abstract namespace, and the environment that names it.
package final class NotifySocket: Sendable {
    private let socket: Descriptor
    package let environment: [String: String]

    package init(watchdogMicroseconds: Int? = nil, watchdogProcess: pid_t = getpid()) {
        let type = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let number = Glibc.socket(AF_UNIX, type, 0)
        guard let made = try? Descriptor(number, "socket", "(test)") else {
            preconditionFailure("socket: errno \(errno)")
        }
        // Linux gives an unnamed unix socket a free abstract name when it is bound to a bare family.
        var family = sa_family_t(AF_UNIX)
        var address = sockaddr_un()
        var length = socklen_t(MemoryLayout<sockaddr_un>.size)
        unsafe withUnsafePointer(to: &family) { family in
            unsafe family.withMemoryRebound(to: sockaddr.self, capacity: 1) { bare in
                precondition(unsafe bind(number, bare, socklen_t(MemoryLayout<sa_family_t>.size)) == 0)
            }
        }
        unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                precondition(unsafe getsockname(number, generic, &length) == 0)
            }
        }
        let name = unsafe withUnsafeBytes(of: &address.sun_path) { bytes in
            unsafe String(decoding: bytes[1..<Int(length) - MemoryLayout<sa_family_t>.size], as: UTF8.self)
        }
        var environment = ["NOTIFY_SOCKET": "@\(name)"]
        if let watchdogMicroseconds {
            environment["WATCHDOG_USEC"] = "\(watchdogMicroseconds)"
            environment["WATCHDOG_PID"] = "\(watchdogProcess)"
        }
        socket = made
        self.environment = environment
    }

    /// What has come since the last call, a message each.
    package func received() -> [String] {
        var messages: [String] = []
        var buffer = [UInt8](repeating: 0, count: 8_192)
        while true {
            let count = unsafe recv(socket.number, &buffer, buffer.count, 0)
            if count < 0 { return messages }
            messages.append(String(decoding: buffer[..<count], as: UTF8.self))
        }
    }
}
