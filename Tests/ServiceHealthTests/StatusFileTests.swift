import CLinux
import Diagnosis
import Glibc
import ServiceHealth
import TestSupport
import Testing
import Timekeeping
import TokenLifecycle

/// The machine's time, to the second.
func present() -> WallTime {
    WallTime(secondsSince1970: Int64(time(nil)))
}

func setHeartbeat(of path: String, to moment: WallTime) {
    var times = [timespec](repeating: timespec(tv_sec: Int(moment.secondsSince1970), tv_nsec: 0), count: 2)
    unsafe utimensat(AT_FDCWD, path, &times, 0)
}

@Suite struct StatusFileTests {
    func struggling() -> TokenHealth {
        var token = fresh("app")
        token.phase = .struggling
        token.trouble = Trouble(error: unreachable, since: noon + .seconds(-60), attempts: 4)
        token.sinks.append(
            SinkHealth(
                name: "file /srv/token", delivered: false,
                trouble: Trouble(error: AgentError(.sinkFull, "No space left on device"), since: noon)))
        token.counters.logins = 2
        token.counters.failures = [.vaultUnreachable: 4, .sinkFull: 1]
        return token
    }

    @Test func `what is written is what is read, times to the second`() throws {
        let directory = TemporaryDirectory()
        var health = agent([struggling(), fresh("other")])
        health.configurationTrouble = AgentError(.configurationInvalid, "$.tokens: missing", remedy: "Add one")
        health.confinedTo = ["/run/app", "/var/lib/vault-token-agent"]
        health.tokens[0].outageBudget = OutageBudget(
            withoutVault: noon + .seconds(832), withoutAWS: nil, isRenewedWithoutAWS: false)
        try StatusFile(path: directory.file("status.json")).write(health, at: noon)
        let reading = try StatusReading(path: directory.file("status.json"))
        #expect(reading.document == StatusDocument(health, at: noon))
        #expect(reading.document.tokens[0].counters.failures == ["vault_unreachable": 4, "sink_full": 1])
        #expect(reading.document.tokens[0].validUntil == "2026-11-21T10:12:03Z")
        #expect((present() - reading.heartbeat) < .seconds(60))
        #expect(reading.document.tokens[0].outageBudget?.withoutVaultUntil == "2026-11-21T10:12:03Z")
        #expect(reading.document.tokens.map { $0.outageBudget == nil } == [false, true])
        #expect(directory.names == ["status.json"])
        var status = stat()
        unsafe stat(directory.file("status.json"), &status)
        #expect(status.st_mode & 0o7777 == 0o644)
    }

    @Test func `its keys are the documented ones`() throws {
        let text = StatusDocument(agent([struggling()]), at: noon).json
        for key in [
            "format", "version", "pid", "started_at", "written_at", "ready", "once_ready", "stopping", "tokens", "name",
            "phase",
            "since",
            "served", "valid_until", "never_expires", "next_step", "next_at", "trouble", "code", "observed", "remedy",
            "attempts", "sinks", "delivered", "counters", "logins", "renewals", "lookups", "sink_writes",
            "sink_repairs",
            "failures",
        ] {
            #expect(text.contains("\"\(key)\": "), "\(key)")
        }
    }

    @Test func `once ready stays so through an outage, and through a restart that finds the file`() throws {
        let directory = TemporaryDirectory()
        let path = directory.file("status.json")
        let starting = agent([TokenHealth(name: "app", phase: .starting, since: noon)])
        var lost = fresh("app")
        lost.phase = .lost

        let first = StatusFile(path: path)
        try first.write(starting, at: noon)
        #expect(try StatusReading(path: path).document.onceReady == false)
        try first.write(agent([fresh("app")]), at: noon)
        try first.write(agent([lost]), at: noon)
        #expect(try StatusReading(path: path).document.onceReady == true)
        try StatusFile(path: path).write(starting, at: noon)
        #expect(try StatusReading(path: path).document.onceReady == true)

        unsafe unlink(path)
        try StatusFile(path: path).write(starting, at: noon)
        #expect(try StatusReading(path: path).document.onceReady == false)
    }

    @Test func `a beat renews the heartbeat and puts a deleted file back`() throws {
        let directory = TemporaryDirectory()
        let path = directory.file("status.json")
        let file = StatusFile(path: path)
        let health = agent([fresh("app")])
        try file.write(health, at: noon)
        setHeartbeat(of: path, to: noon)
        try file.beat(health, at: noon + .seconds(30))
        #expect(try StatusReading(path: path).document.writtenAt == noon.rfc3339, "touched, not written")
        #expect(try StatusReading(path: path).heartbeat > noon + .seconds(1) || present() <= noon)
        unsafe unlink(path)
        try file.beat(health, at: noon + .seconds(60))
        #expect(try StatusReading(path: path).document.tokens.map(\.name) == ["app"])
    }

    @Test func `a directory that is not there is one clear failure`() {
        let error = #expect(throws: AgentError.self) {
            try StatusFile(path: "/nonexistent/status.json").write(agent([fresh("app")]), at: noon)
        }
        #expect(error?.code == .stateUnwritable)
        #expect(error?.observed == "cannot open /nonexistent: No such file or directory")
        #expect(error?.remedy.hasPrefix("Create /nonexistent") == true)
    }

    @Test(.enabled(if: Mounted.isPossible, "needs root and the right to mount (CAP_SYS_ADMIN)"))
    func `a file system that is full keeps the old content, and room is what it asks for`() throws {
        let directory = TemporaryDirectory()
        let mounted = try Mounted(["-t", "tmpfs", "-o", "size=16k", "tmpfs"], at: directory.path)
        let path = directory.file("status.json")
        let file = StatusFile(path: path)
        try file.write(agent([fresh("app")]), at: noon)
        fillUp(directory)
        let error = try #require(throws: AgentError.self) {
            try file.write(agent([fresh("app"), fresh("other")]), at: noon)
        }
        #expect(error.observed.contains("No space left on device"))
        #expect(error.remedy == "Free space or inodes on the file system of \(directory.path)")
        #expect(try StatusReading(path: path).document.tokens.map(\.name) == ["app"])
        withExtendedLifetime(mounted) {}
    }

    @Test func `a beat tries a write again that failed`() throws {
        let directory = TemporaryDirectory()
        let file = StatusFile(path: directory.file("later/status.json"))
        let health = agent([fresh("app")])
        #expect(throws: AgentError.self) { try file.write(health, at: noon) }
        #expect(throws: AgentError.self) { try file.beat(health, at: noon) }
        unsafe mkdir(directory.file("later"), 0o755)
        try file.beat(health, at: noon)
        #expect(try StatusReading(path: directory.file("later/status.json")).document.tokens.map(\.name) == ["app"])
    }

    @Test func `what a killed process left is removed`() throws {
        let directory = TemporaryDirectory()
        directory.write("left over", to: ".status.json.vta-0123456789abcdef")
        try StatusFile(path: directory.file("status.json")).write(agent([fresh("app")]), at: noon)
        #expect(directory.names == ["status.json"])
    }

    @Test func `a failed write leaves nothing behind`() throws {
        let directory = TemporaryDirectory()
        unsafe mkdir(directory.file("status.json"), 0o755)
        #expect(throws: AgentError.self) {
            try StatusFile(path: directory.file("status.json")).write(agent([fresh("app")]), at: noon)
        }
        #expect(directory.names == ["status.json"])
    }

    @Test(arguments: [
        "", "{", "[]", "null", "{\"format\":1}", "{\"format\":2,\"version\":\"9\"}", "{\"format\":\"1\"}",
        String(repeating: "[", count: 100_000),
    ])
    func `what is not a status document of this format is refused in one line`(content: String) {
        let directory = TemporaryDirectory()
        directory.write(content, to: "status.json")
        let error = #expect(throws: AgentError.self) { try StatusReading(path: directory.file("status.json")) }
        #expect(error?.code == .fileUnreadable)
        #expect(error?.description.contains("\n") == false)
    }

    @Test func `a damaged file is refused or read, and what is read moves no cursor`() throws {
        var generator = SystemRandomNumberGenerator()
        let whole = Array(StatusDocument(agent([struggling(), fresh("other")]), at: noon).json.utf8)
        for _ in 0..<2_000 {
            var bytes = whole
            for _ in 0...Int.random(in: 0..<4, using: &generator) {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[place] = .random(in: 0...255, using: &generator)
                case 1: bytes.removeSubrange(place..<min(bytes.count - 1, place + 40))
                default: bytes.insert(contentsOf: bytes[..<min(20, place)], at: place)
                }
            }
            guard let document = try? StatusDocument(json: bytes, from: "status.json") else { continue }
            let text = StatusReading(document: document, heartbeat: noon).table(at: noon)
            let moving = text.unicodeScalars.contains { $0 != "\n" && $0.properties.generalCategory == .control }
            #expect(!moving, "\(String(decoding: bytes, as: UTF8.self))")
        }
    }

    @Test func `a pipe in its place does not make the reader wait`() {
        let directory = TemporaryDirectory()
        unsafe mkfifo(directory.file("status.json"), 0o644)
        #expect(throws: AgentError.self) { try StatusReading(path: directory.file("status.json")) }
    }

    @Test func `a file that is missing asks whether the agent runs`() {
        let error = #expect(throws: AgentError.self) { try StatusReading(path: "/nonexistent/status.json") }
        #expect(error?.remedy.contains("Is the agent running") == true)
    }
}

@Suite struct HealthVerdictTests {
    func reading(_ health: AgentHealth, heartbeat: Duration = .seconds(-5)) -> StatusReading {
        StatusReading(document: StatusDocument(health, at: noon), heartbeat: noon + heartbeat)
    }

    @Test func `valid tokens and a recent heartbeat are healthy`() {
        #expect(reading(agent([fresh("a"), fresh("b")])).reasonsAgainstHealth(at: noon).isEmpty)
    }

    @Test func `a renewal that fails is not unhealthy while the token is valid`() {
        var token = fresh("app")
        token.phase = .struggling
        token.trouble = Trouble(error: unreachable, since: noon)
        #expect(reading(agent([token])).reasonsAgainstHealth(at: noon).isEmpty)
    }

    @Test func `until ready once an outage is unhealthy, afterwards only a dead agent is`() {
        let starting = agent([TokenHealth(name: "app", phase: .starting, since: noon)])
        #expect(reading(starting).reasonsAgainstOnceReady(at: noon) == ["app: no token yet"])
        func later(_ heartbeat: Duration) -> StatusReading {
            StatusReading(
                document: StatusDocument(starting, onceReady: true, at: noon), heartbeat: noon + heartbeat)
        }
        #expect(later(.seconds(-5)).reasonsAgainstOnceReady(at: noon).isEmpty)
        #expect(later(.seconds(-91)).reasonsAgainstOnceReady(at: noon).count == 1)
    }

    @Test func `an old heartbeat is unhealthy however fresh the tokens look`() {
        let stuck = reading(agent([fresh("app")]), heartbeat: .seconds(-91))
        #expect(
            stuck.reasonsAgainstHealth(at: noon) == ["no heartbeat for 1m31s, the agent is stuck or gone"])
        #expect(reading(agent([fresh("app")]), heartbeat: .seconds(-90)).reasonsAgainstHealth(at: noon).isEmpty)
    }

    @Test func `a lost token leaves the agent alive, an old heartbeat does not`() {
        var lost = fresh("app")
        lost.phase = .lost
        #expect(reading(agent([lost])).reasonsAgainstLiveness(at: noon).isEmpty)
        #expect(!reading(agent([fresh("app")]), heartbeat: .seconds(-91)).reasonsAgainstLiveness(at: noon).isEmpty)
    }

    @Test func `a heartbeat from the future is a clock set back`() {
        let reasons = reading(agent([fresh("app")]), heartbeat: .seconds(3_600)).reasonsAgainstHealth(at: noon)
        #expect(reasons == ["the heartbeat lies 1h ahead, the clock was set back"])
    }

    @Test func `a token past its time is unhealthy though nobody has said so`() {
        let reasons = reading(agent([fresh("app")]), heartbeat: .seconds(890))
            .reasonsAgainstHealth(at: noon + .seconds(900))
        #expect(reasons == ["app: the token expired at 2026-11-21T10:12:03Z"])
    }

    @Test func `an agent told to stop is unhealthy`() {
        var health = agent([fresh("app")])
        health.stopping = true
        #expect(
            reading(health).reasonsAgainstHealth(at: noon) == ["the agent was told to stop at 2026-11-21T09:58:11Z"])
    }

    @Test func `one token can be asked for alone`() {
        var lost = fresh("lost")
        lost.phase = .lost
        lost.trouble = Trouble(error: unreachable, since: noon)
        let both = reading(agent([fresh("app"), lost]))
        #expect(both.reasonsAgainstHealth(token: "app", at: noon).isEmpty)
        #expect(
            both.reasonsAgainstHealth(token: "lost", at: noon) == [
                "lost: no valid token since 2026-11-21T09:48:11Z: vault.example:8200 refused the connection. "
                    + "Check that Vault runs (vault_unreachable)"
            ])
        #expect(both.reasonsAgainstHealth(token: "nobody", at: noon) == ["no token nobody is configured"])
        #expect(both.reasonsAgainstHealth(at: noon).count == 1)
    }

    @Test func `a valid token that a sink does not hold is unhealthy`() {
        var token = fresh("app")
        token.phase = .struggling
        token.sinks[0].delivered = false
        #expect(
            reading(agent([token])).reasonsAgainstHealth(at: noon) == ["app: not in file /run/app/token"])
    }

    @Test func `the table shows each token, what comes next and what ails it`() {
        var token = fresh("payments")
        token.phase = .struggling
        token.trouble = Trouble(error: unreachable, since: noon + .seconds(-60), attempts: 4)
        var (app, eternal) = (fresh("app"), fresh("eternal"))
        (app.lease, token.lease) = (.seconds(1_200), .seconds(36_000))
        (eternal.validUntil, eternal.neverExpires) = (nil, true)
        app.outageBudget = OutageBudget(
            withoutVault: noon + .seconds(832), withoutAWS: noon + .seconds(832), isRenewedWithoutAWS: true)
        token.outageBudget = OutageBudget(
            withoutVault: noon + .seconds(832), withoutAWS: noon + .seconds(900), isRenewedWithoutAWS: false)
        eternal.outageBudget = OutageBudget(withoutVault: nil, withoutAWS: nil, isRenewedWithoutAWS: false)
        let text = reading(agent([app, token, eternal])).table(at: noon)
        #expect(
            text == """
                vault-token-agent 1.0.0, process \(getpid()), up 1h, last heartbeat 5s ago: healthy

                TOKEN     STATE       VALID UNTIL            LEASE LEFT          NEXT                         SINKS
                app       fresh       10:12:03Z (in 13m52s)  [#######...]  69 %  renew 09:59:11Z (in 1m)      1/1
                  survives an outage of Vault until 10:12:03Z (in 13m52s), of AWS as long as Vault renews it
                payments  struggling  10:12:03Z (in 13m52s)  [#.........]   2 %  try again 09:59:11Z (in 1m)  1/1
                  since 09:57:11Z, 4 times: vault.example:8200 refused the connection. Check that Vault runs \
                (vault_unreachable)
                  survives an outage of Vault until 10:12:03Z (in 13m52s), of AWS until 10:13:11Z (in 15m)
                eternal   fresh       never expires          -                   renew 09:59:11Z (in 1m)      1/1
                  survives any outage of Vault or AWS

                """)
    }

    @Test func `colours say again what words say, and move no column`() {
        var app = fresh("app")
        app.lease = .seconds(1_200)
        var lost = fresh("lost")
        (lost.phase, lost.lease, lost.validUntil) = (.lost, .seconds(1_200), noon + .seconds(-1))
        let reading = reading(agent([app, lost]))
        let coloured = reading.table(at: noon, style: .coloured)
        for painted in [
            "\u{1b}[32mfresh\u{1b}[0m", "\u{1b}[32m[#######...]  69 %\u{1b}[0m", "\u{1b}[31mlost\u{1b}[0m",
            "\u{1b}[31m[..........]   0 %\u{1b}[0m", "\u{1b}[31mNOT HEALTHY\u{1b}[0m",
        ] {
            #expect(coloured.contains(painted))
        }
        let bare = ["32", "31", "33", "0"].reduce(coloured) { text, code in
            text.split(separator: "\u{1b}[\(code)m", omittingEmptySubsequences: false).joined()
        }
        #expect(bare == reading.table(at: noon))
    }

    @Test func `the table says where nobody can ask`() {
        var health = agent([fresh("app")])
        let taken = AgentError(.addressUnavailable, "cannot bind 127.0.0.1:9112: Address already in use")
        health.listeners = [
            ListenerHealth(address: "unix:///run/x", pages: .probes),
            ListenerHealth(
                address: "127.0.0.1:9112", pages: .metrics,
                trouble: Trouble(error: taken, since: noon + .seconds(-60), attempts: 4)),
        ]
        let lines = reading(health).table(at: noon).split(separator: "\n")
        #expect(
            lines[1] == """
                Nobody can ask for metrics at 127.0.0.1:9112 since 09:57:11Z, 4 times: cannot bind 127.0.0.1:9112: Address \
                already in use (address_unavailable)
                """)
        #expect(lines[2].hasPrefix("TOKEN") && health.ready)
        #expect(
            health.statusLine(at: noon).hasSuffix(
                "; metrics at 127.0.0.1:9112: address cannot be had since 09:57:11Z (address_unavailable)"))
    }

    @Test func `a table made from a hostile file moves no cursor`() {
        var hostile = fresh("app")
        hostile.trouble = Trouble(error: AgentError(.internalFault, "\u{1b}[2J"), since: noon)
        var document = StatusDocument(agent([hostile]), at: noon)
        document.version = "\u{1b}]0;title\u{7}"
        document.tokens[0].name = "a\u{1b}[1A\u{202e}"
        document.tokens[0].trouble?.remedy = "\u{9b}2J"
        let text = StatusReading(document: document, heartbeat: noon).table(at: noon)
        #expect(!text.unicodeScalars.contains { $0 != "\n" && $0.properties.generalCategory == .control })
    }
}
