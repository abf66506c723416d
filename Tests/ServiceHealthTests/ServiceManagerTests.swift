import CLinux
import Glibc
import ServiceHealth
import Testing

/// A notification socket as systemd would make it, in the abstract namespace, and the environment that names it.
///
/// The environment belongs to the whole process, whose other threads read it: each test has a process of its own.
final class NotifySocket {
    private let descriptor: Int32

    init(watchdogMicroseconds: Int? = nil) {
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue) | O_NONBLOCK, 0)
        // Linux gives an unnamed unix socket a free abstract name when it is bound to a bare family.
        var family = sa_family_t(AF_UNIX)
        var address = sockaddr_un()
        var length = socklen_t(MemoryLayout<sockaddr_un>.size)
        unsafe withUnsafePointer(to: &family) { family in
            unsafe family.withMemoryRebound(to: sockaddr.self, capacity: 1) { bare in
                precondition(unsafe bind(descriptor, bare, socklen_t(MemoryLayout<sa_family_t>.size)) == 0)
            }
        }
        unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                precondition(unsafe getsockname(descriptor, generic, &length) == 0)
            }
        }
        let path = unsafe withUnsafeBytes(of: &address.sun_path) { bytes in
            unsafe String(decoding: bytes[1..<Int(length) - MemoryLayout<sa_family_t>.size], as: UTF8.self)
        }
        unsafe setenv("NOTIFY_SOCKET", "@\(path)", 1)
        if let watchdogMicroseconds {
            unsafe setenv("WATCHDOG_USEC", "\(watchdogMicroseconds)", 1)
            unsafe setenv("WATCHDOG_PID", "\(getpid())", 1)
        }
    }

    func received() -> [String] {
        var messages: [String] = []
        var buffer = [UInt8](repeating: 0, count: 8_192)
        while true {
            let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
            if count < 0 { return messages }
            messages.append(String(decoding: buffer[..<count], as: UTF8.self))
        }
    }

    deinit {
        close(descriptor)
    }
}

@Suite struct ServiceManagerTests {
    @Test func `READY comes with the status and the same status is sent once`() async {
        await #expect(processExitsWith: .success) {
            let socket = NotifySocket()
            let manager = ServiceManager()
            manager.status("app: no token yet")
            manager.status("app: no token yet")
            manager.ready("app: fresh")
            manager.status("app: fresh")
            #expect(socket.received() == ["STATUS=app: no token yet", "READY=1\nSTATUS=app: fresh"])
        }
    }

    @Test func `the beat asks for time until ready and is the watchdog's from then on`() async {
        await #expect(processExitsWith: .success) {
            let socket = NotifySocket(watchdogMicroseconds: 60_000_000)
            let manager = ServiceManager()
            #expect(manager.watchdogTimeout == .seconds(60))
            #expect(manager.beatInterval == .seconds(20))
            manager.beat()
            manager.ready("app: fresh")
            manager.beat()
            manager.stopping("stopping")
            manager.beat()
            #expect(
                socket.received() == [
                    "EXTEND_TIMEOUT_USEC=80000000", "READY=1\nSTATUS=app: fresh", "WATCHDOG=1",
                    "STOPPING=1\nSTATUS=stopping",
                ])
        }
    }

    @Test func `a reload carries the monotonic clock's time`() async {
        await #expect(processExitsWith: .success) {
            let socket = NotifySocket()
            ServiceManager().reloading()
            let message = try #require(socket.received().first)
            var time = timespec()
            unsafe clock_gettime(CLOCK_MONOTONIC, &time)
            #expect(message.hasPrefix("RELOADING=1\nMONOTONIC_USEC="))
            let microseconds = try #require(message.split(separator: "=").last.flatMap { Int64($0) })
            let age = Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000 - microseconds
            #expect((0..<60_000_000).contains(age))
        }
    }

    @Test(.timeLimit(.minutes(10)))
    func `a systemd that hangs stops nothing, and hears what it must once it reads again`() async {
        await #expect(processExitsWith: .success) {
            let socket = NotifySocket(watchdogMicroseconds: 60_000_000)
            let manager = ServiceManager()
            for _ in 0..<5_000 { manager.beat() }
            manager.ready("app: fresh")
            for number in 0..<100 { manager.status("\(number)") }
            let early = socket.received()
            try #require(early.count < 5_000 && early.allSatisfy { $0.hasPrefix("EXTEND_TIMEOUT_USEC=") })
            manager.beat()
            try #require(socket.received() == ["READY=1\nSTATUS=app: fresh", "STATUS=99", "WATCHDOG=1"])
            for _ in 0..<5_000 { manager.beat() }
            manager.reloading()
            manager.ready("app: fresh")
            manager.reloading()
            manager.ready("app: still fresh")
            try #require(socket.received().allSatisfy { $0 == "WATCHDOG=1" })
            manager.beat()
            let late = socket.received()
            try #require(late.count == 3 && late[0].hasPrefix("RELOADING=1\n"))
            try #require(late[1...] == ["READY=1\nSTATUS=app: still fresh", "WATCHDOG=1"])
            manager.stopping("stopping")
            try #require(socket.received() == ["STOPPING=1\nSTATUS=stopping"])
        }
    }

    @Test func `a line break in a status smuggles nothing in`() async {
        await #expect(processExitsWith: .success) {
            let socket = NotifySocket()
            ServiceManager().status("a\nWATCHDOG=trigger")
            #expect(socket.received() == [#"STATUS=a\nWATCHDOG=trigger"#])
        }
    }

    @Test func `outside systemd nothing happens and the beat is slow`() async {
        await #expect(processExitsWith: .success) {
            let manager = ServiceManager()
            manager.ready("app: fresh")
            #expect(manager.watchdogTimeout == nil)
            #expect(manager.beatInterval == ServiceManager.longestBeat)
        }
    }

    @Test func `a watchdog meant for another process is not ours`() async {
        await #expect(processExitsWith: .success) {
            let socket = NotifySocket(watchdogMicroseconds: 60_000_000)
            unsafe setenv("WATCHDOG_PID", "1", 1)
            #expect(ServiceManager().watchdogTimeout == nil)
            withExtendedLifetime(socket) {}
        }
    }
}
