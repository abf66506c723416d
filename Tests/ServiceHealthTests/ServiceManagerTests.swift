import Glibc
import ServiceHealth
import TestSupport
import Testing

@Suite struct ServiceManagerTests {
    @Test func `READY comes with the status and the same status is sent once`() throws {
        let socket = NotifySocket()
        let manager = ServiceManager(environment: socket.environment)
        manager.status("app: no token yet")
        manager.status("app: no token yet")
        manager.ready("app: fresh")
        manager.status("app: fresh")
        #expect(socket.received() == ["STATUS=app: no token yet", "READY=1\nSTATUS=app: fresh"])
    }

    @Test func `the beat asks for time until ready and is the watchdog's from then on`() throws {
        let socket = NotifySocket(watchdogMicroseconds: 60_000_000)
        let manager = ServiceManager(environment: socket.environment)
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

    @Test func `a reload carries the monotonic clock's time`() throws {
        let socket = NotifySocket()
        ServiceManager(environment: socket.environment).reloading()
        let message = try #require(socket.received().first)
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        #expect(message.hasPrefix("RELOADING=1\nMONOTONIC_USEC="))
        let microseconds = try #require(message.split(separator: "=").last.flatMap { Int64($0) })
        let age = Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000 - microseconds
        #expect((0..<60_000_000).contains(age))
    }

    @Test(.timeLimit(.minutes(10)))
    func `a systemd that hangs stops nothing, and hears what it must once it reads again`() throws {
        let socket = NotifySocket(watchdogMicroseconds: 60_000_000)
        let manager = ServiceManager(environment: socket.environment)
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

    @Test func `a line break in a status smuggles nothing in`() throws {
        let socket = NotifySocket()
        ServiceManager(environment: socket.environment).status("a\nWATCHDOG=trigger")
        #expect(socket.received() == [#"STATUS=a\nWATCHDOG=trigger"#])
    }

    @Test func `outside systemd nothing happens and the beat is slow`() throws {
        let manager = ServiceManager(environment: [:])
        manager.ready("app: fresh")
        #expect(manager.watchdogTimeout == nil)
        #expect(manager.beatInterval == ServiceManager.longestBeat)
    }

    @Test func `a watchdog meant for another process is not ours`() {
        let socket = NotifySocket(watchdogMicroseconds: 60_000_000, watchdogProcess: 1)
        #expect(ServiceManager(environment: socket.environment).watchdogTimeout == nil)
    }
}
