// A run of the service from its start to its end: what signals do, what is read and locked, what systemd and the log are told.
// That signals arrive, and what systemd makes of it, is tested with real ones end to end.

import Diagnosis
import FileSystem
import Glibc
import ServiceHealth
import TestSupport
import Testing
import Timekeeping

@testable import AgentService

@Suite("A run of the service", .timeLimit(.minutes(20)))
struct ServiceSessionTests {
    @Test("a start serves the tokens and holds its locks; the stop ends it, each told once")
    func life() async throws {
        let stage = try SessionStage()
        stage.configure(root: #", "state_directory": "\#(stage.directory.path)""#)
        #expect(try await stage.becomeReady())
        #expect(stage.directory.names.contains("app") && stage.vault.logins == 1)
        #expect(stage.isLocked("lock") == true && stage.isLocked("status.json.lock") == true)
        #expect(await stage.wait { $0.status?.tokens.map(\.phase) == ["fresh"] })
        #expect(await stage.stop())
        #expect(stage.heard == ["READY=1", "STOPPING=1"])
        #expect([stage.count(of: "Started"), stage.count(of: "Ready"), stage.count(of: "Stopping")] == [1, 1, 1])
        #expect(stage.readings.begun == 0 && stage.adopted.isEmpty)
    }

    @Test("a stop that is said again, by whatever signal, is one stop")
    func saidAgain() async throws {
        let stage = try SessionStage()
        stage.configure()
        #expect(try await stage.becomeReady())
        let disk = stage.hangDisk()
        for signal in [SIGTERM, SIGTERM, SIGINT] { stage.hear(signal) }
        disk.open()
        #expect(await stage.stop())
        #expect(stage.count(of: "Stopping") == 1)
        #expect(stage.heard == ["READY=1", "STOPPING=1"])
    }

    @Test("what is asked for once it stops is not begun")
    func askedTooLate() async throws {
        let stage = try SessionStage()
        stage.configure(root: #", "reload_on_change": true"#)
        #expect(try await stage.becomeReady())
        let disk = stage.hangDisk()
        for signal in [SIGTERM, SIGHUP, SIGUSR1, SIGUSR2] { stage.hear(signal) }
        disk.open()
        #expect(await stage.stop())
        await stage.settle()
        #expect(stage.readings.begun == 0)
        #expect(stage.heard == ["READY=1", "STOPPING=1"])
        #expect(stage.count(of: "Told to") == 0 && stage.count(of: "Reading") == 0)
    }

    @Test("a stop does not wait for a configuration that is being read, and nothing comes of that any more")
    func stoppedWhileReading() async throws {
        for isGood in [true, false] {
            let stage = try SessionStage()
            stage.configure()
            #expect(try await stage.becomeReady())
            stage.reading.close()
            stage.hear(SIGHUP)
            #expect(await stage.wait { $0.readings.begun == 1 })
            if isGood { stage.configure(["app", "more"]) } else { stage.directory.write("{", to: "agent.json") }
            #expect(await stage.stop())
            #expect(stage.readings.ended == 0)
            stage.reading.open()
            #expect(await stage.wait { $0.readings.ended == 1 })
            await stage.settle()
            #expect(stage.count(of: "New configuration") == 0 && stage.adopted.isEmpty)
            #expect(!stage.directory.names.contains("more"))
            #expect(stage.heard == ["READY=1", "RELOADING=1", "STOPPING=1"])
        }
    }

    @Test("a stop does not wait for a disk that hangs")
    func stoppedBesideHungDisk() async throws {
        let stage = try SessionStage()
        stage.configure()
        #expect(try await stage.becomeReady())
        let disk = stage.hangDisk()
        #expect(await stage.stop())
        disk.open()
    }

    @Test("tokens are kept while a configuration is read, and what is asked for meanwhile is done")
    func readBesideTheLoop() async throws {
        let stage = try SessionStage()
        stage.configure()
        #expect(try await stage.becomeReady())
        stage.reading.close()
        stage.hear(SIGHUP)
        #expect(await stage.wait { $0.readings.begun == 1 })
        stage.hear(SIGUSR1)
        #expect(await stage.wait { $0.vault.logins >= 2 })
        #expect(stage.readings.ended == 0)
        stage.reading.open()
        #expect(await stage.wait { $0.count(of: "New configuration in force") == 1 })
        #expect(await stage.stop())
    }

    @Test("however often a reload is asked for while one is under way, one more follows")
    func askedMeanwhile() async throws {
        let stage = try SessionStage()
        stage.configure()
        #expect(try await stage.becomeReady())
        stage.reading.close()
        for _ in 0..<5 { stage.hear(SIGHUP) }
        #expect(await stage.wait { $0.readings.begun == 1 })
        stage.configure(["app", "more"])
        stage.reading.open()
        #expect(await stage.wait { $0.count(of: "New configuration in force") == 2 })
        await stage.settle()
        #expect(stage.readings.begun == 2 && stage.adopted.count == 2)
        #expect(await stage.wait { $0.directory.names.contains("more") })
        #expect(await stage.stop())
    }

    @Test("a configuration that cannot work is refused and changes nothing; the next one is in force")
    func refused() async throws {
        let stage = try SessionStage()
        stage.configure()
        #expect(try await stage.becomeReady())
        stage.directory.write("{", to: "agent.json")
        stage.hear(SIGHUP)
        #expect(await stage.wait { $0.count(of: "New configuration refused") == 1 })
        #expect(stage.adopted.isEmpty && stage.vault.logins == 1 && stage.directory.names.contains("app"))
        #expect(await stage.wait { $0.status?.configurationTrouble?.code == "configuration_invalid" })
        stage.configure(root: #", "log": {"level": "debug"}"#)
        stage.hear(SIGHUP)
        #expect(await stage.wait { $0.count(of: "New configuration in force") == 1 })
        #expect(stage.adopted.map(\.logLevel) == [.debug])
        #expect(await stage.wait { $0.status.map { $0.configurationTrouble == nil } == true })
        #expect(
            await stage.wait { $0.heard == ["READY=1"] + ["RELOADING=1", "READY=1"] + ["RELOADING=1", "READY=1"] })
        #expect(await stage.stop())
    }

    @Test(
        "memory that nothing uses any more goes back to the kernel with a heartbeat",
        .enabled(if: HeapGap().isKept, "this allocator, the thread sanitizer's, keeps no gaps"))
    func memory() async throws {
        let stage = try SessionStage()
        stage.configure()
        let gap = HeapGap()
        try #require(gap.isKept)
        try stage.start(["WATCHDOG_USEC": "1000000"])
        #expect(await stage.wait { _ in !gap.isKept })
        #expect(await stage.stop())
    }

    @Test("systemd hears READY once the tokens are there, and of no reload before")
    func ready() async throws {
        let stage = try SessionStage()
        stage.configure()
        stage.vault.answering.close()
        try stage.start()
        #expect(await stage.wait { $0.count(of: "Started") == 1 })
        stage.hear(SIGHUP)
        #expect(await stage.wait { $0.count(of: "New configuration in force") == 1 })
        await stage.settle()
        #expect(stage.heard.isEmpty)
        stage.vault.answering.open()
        #expect(await stage.wait { $0.heard == ["READY=1"] })
        stage.hear(SIGUSR1)
        #expect(await stage.wait { $0.vault.logins >= 2 })
        #expect(await stage.stop())
        #expect(stage.heard == ["READY=1", "STOPPING=1"])
        #expect(stage.count(of: "Ready") == 1)
    }

    @Test(
        "a second agent on the same files is refused, and leaves nothing",
        arguments: ["state_directory", "status_file"])
    func secondAgent(shared: String) async throws {
        let first = try SessionStage()
        first.configure(root: #", "state_directory": "\#(first.directory.path)""#)
        #expect(try await first.becomeReady())
        let second = try SessionStage(in: TemporaryDirectory(), vault: first.vault)
        let theirs = first.directory
        if shared == "state_directory" {
            second.configure(root: #", "state_directory": "\#(theirs.path)""#)
        } else {
            second.configure(
                status: theirs.file("status.json"), root: #", "state_directory": "\#(second.directory.path)""#)
        }
        try second.start()
        guard case .failure(let error) = second.end else {
            Issue.record("it was not refused")
            return
        }
        #expect(error.code == .stateUnwritable && error.observed.hasPrefix("another agent runs here"))
        // A file for a lock may be there; nobody holds it.
        #expect(second.isLocked("lock") != true && second.isLocked("status.json.lock") != true)
        await second.settle()
        #expect(Set(second.directory.names).isSubset(of: ["agent.json", "lock", "status.json.lock"]))
        #expect(second.count(of: "Started") == 0 && second.heard.isEmpty)
        #expect(first.vault.logins == 1)
        #expect(await first.stop())
    }

    @Test("the lock beside the status file goes where the file goes; that of the state directory stays")
    func locksMove() async throws {
        let stage = try SessionStage()
        let state = #", "state_directory": "\#(stage.directory.path)""#
        func locks() -> [Bool?] { ["lock", "status.json.lock", "other.json.lock"].map(stage.isLocked) }
        stage.configure(root: state)
        #expect(try await stage.becomeReady())
        #expect(locks() == [true, true, nil])
        // Other tokens, and one by another name, are no other files.
        for (number, tokens) in [["app", "more"], ["app", "renamed"], ["app"]].enumerated() {
            stage.configure(tokens, root: state)
            stage.hear(SIGHUP)
            #expect(await stage.wait { $0.count(of: "New configuration in force") == number + 1 })
            await stage.settle()
            #expect(locks() == [true, true, nil])
        }
        for (number, status) in ["other.json", "status.json", "other.json"].enumerated() {
            stage.configure(status: status, root: state)
            stage.hear(SIGHUP)
            #expect(await stage.wait { $0.count(of: "New configuration in force") == number + 4 })
            await stage.settle()
            #expect(locks() == (status == "other.json" ? [true, false, true] : [true, true, false]))
        }
        #expect(await stage.stop())
    }

    @Test("a status file that is another agent's is refused at a reload too, until that agent has gone")
    func lockOfAnother() async throws {
        let stage = try SessionStage()
        stage.configure()
        #expect(try await stage.becomeReady())
        var theirs: FileLock? = try FileLock(path: stage.directory.file("other.json.lock"))
        #expect(theirs != nil)
        stage.configure(["app", "more"], status: "other.json")
        stage.hear(SIGHUP)
        #expect(await stage.wait { $0.count(of: "New configuration refused") == 1 })
        await stage.settle()
        #expect(stage.isLocked("status.json.lock") == true)
        #expect(Set(stage.directory.names).isDisjoint(with: ["other.json", "more"]))
        #expect(await stage.wait { $0.status?.configurationTrouble?.code == "state_unwritable" })
        withExtendedLifetime(theirs) {}
        theirs = nil
        stage.hear(SIGHUP)
        #expect(await stage.wait { $0.count(of: "New configuration in force") == 1 })
        await stage.settle()
        #expect(stage.isLocked("other.json.lock") == true && stage.isLocked("status.json.lock") == false)
        #expect(await stage.stop())
    }

    @Test("a reload that the machine refuses leaves the locks as they were")
    func refusedReloadLocksNothing() async throws {
        let stage = try SessionStage()
        stage.configure()
        #expect(try await stage.becomeReady())
        stage.configure(["app", "nowhere/more"], status: "other.json")
        stage.hear(SIGHUP)
        #expect(await stage.wait { $0.count(of: "New configuration refused") == 1 })
        await stage.settle()
        #expect(stage.isLocked("status.json.lock") == true && stage.isLocked("other.json.lock") != true)
        #expect(await stage.stop())
    }

    @Test("a start that no machine can carry out ends with the reason, and leaves neither a token nor a socket")
    func failedStart() async throws {
        let stage = try SessionStage()
        _ = unsafe symlink(".", stage.directory.file("link"))
        stage.configure(
            sink: #"}, {"type": "file", "path": "\#(stage.directory.file("link/app"))""#,
            root: #", "metrics": {"listen": "unix://\#(stage.directory.file("metrics"))"}"#)
        try stage.start()
        #expect(await stage.wait { $0.end != nil })
        guard case .failure(let error) = stage.end else {
            Issue.record("it was not refused")
            return
        }
        #expect(error.code == .configurationInvalid && error.observed.contains("one place"))
        #expect(await stage.wait { Set($0.directory.names).isDisjoint(with: ["app", "metrics"]) })
        #expect(stage.vault.logins == 0 && stage.heard.isEmpty)
        #expect(stage.count(of: "Started") == 0)
        // Whoever stops it all the same changes nothing of that.
        stage.hear(SIGTERM)
        await stage.settle()
        #expect(Set(stage.directory.names).isDisjoint(with: ["app", "metrics"]))
    }

    @Test("a stop takes the socket for metrics away, also where that was asked for just before")
    func socketsGone() async throws {
        let stage = try SessionStage()
        stage.configure(root: #", "metrics": {"listen": "unix://\#(stage.directory.file("metrics"))"}"#)
        let disk = stage.hangDisk()
        try stage.start()
        stage.hear(SIGTERM)
        disk.open()
        // A disk that takes its time is not waited for.
        #expect(await stage.wait { $0.end != nil && !$0.directory.names.contains("metrics") })
    }
}
