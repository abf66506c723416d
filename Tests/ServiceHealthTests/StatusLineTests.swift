import Diagnosis
import ServiceHealth
import Testing
import Timekeeping
import TokenLifecycle

/// 2026-11-21T09:58:11Z.
let noon = WallTime(secondsSince1970: 1_795_255_091)

func fresh(_ name: String) -> TokenHealth {
    var token = TokenHealth(
        name: name, phase: .fresh, since: noon + .seconds(-600),
        sinks: [SinkHealth(name: "file /run/\(name)/token", delivered: true)])
    token.validUntil = noon + .seconds(832)
    token.nextStep = .renew
    token.nextAt = noon + .seconds(60)
    return token
}

func agent(_ tokens: [TokenHealth]) -> AgentHealth {
    AgentHealth(version: "1.0.0", startedAt: noon + .seconds(-3_600), tokens: tokens)
}

let unreachable = AgentError(
    .vaultUnreachable, "vault.example:8200 refused the connection", remedy: "Check that Vault runs")

@Suite struct StatusLineTests {
    @Test func `a fresh token says until when and what comes next`() {
        #expect(agent([fresh("app")]).statusLine(at: noon) == "app: fresh until 10:12:03Z, renews at 09:59:11Z")
    }

    @Test func `a start during an outage says what is missing, since when and when it is tried again`() {
        var token = TokenHealth(name: "app", phase: .starting, since: noon)
        token.trouble = Trouble(error: unreachable, since: noon + .seconds(-11), attempts: 3)
        token.nextStep = .logIn
        token.nextAt = noon + .seconds(61)
        #expect(
            agent([token]).statusLine(at: noon)
                == "app: no token yet, Vault unreachable since 09:58:00Z (vault_unreachable), next try at 09:59:12Z")
    }

    @Test func `times of another day carry the date`() {
        var token = fresh("app")
        token.validUntil = noon + .seconds(86_400)
        #expect(agent([token]).statusLine(at: noon).hasPrefix("app: fresh until 2026-11-22 09:58:11Z,"))
    }

    @Test func `a token that never expires says so`() {
        var token = fresh("root")
        token.validUntil = nil
        token.neverExpires = true
        token.nextStep = .lookUp
        #expect(agent([token]).statusLine(at: noon) == "root: fresh, never expires, looks up at 09:59:11Z")
    }

    @Test func `tokens in trouble come first and many are counted`() {
        var lost = fresh("zebra")
        lost.phase = .lost
        lost.since = noon
        let line = agent((1...9).map { fresh("t\($0)") } + [lost]).statusLine(at: noon)
        #expect(line.hasPrefix("10 tokens, 9 valid in every sink; zebra: no valid token since 09:58:11Z"))
        #expect(line.hasSuffix("and 6 more"))
    }

    @Test func `a refused reload stands before the tokens`() {
        var health = agent([fresh("app")])
        health.configurationTrouble = AgentError(.configurationInvalid, "$.tokens: at least one is needed")
        #expect(
            health.statusLine(at: noon)
                == "new configuration refused, the old one is in force: $.tokens: at least one is needed; "
                + "app: fresh until 10:12:03Z, renews at 09:59:11Z")
    }

    @Test func `a failing sink is named`() {
        var token = fresh("app")
        token.phase = .struggling
        token.sinks[0].trouble = Trouble(
            error: AgentError(.sinkFull, "No space left on device"), since: noon, attempts: 1)
        #expect(
            agent([token]).statusLine(at: noon)
                == "app: still valid until 10:12:03Z, file /run/app/token: no space to write since 09:58:11Z (sink_full), "
                + "next try at 09:59:11Z")
    }

    @Test func `whatever a message holds, the line stays one line and short`() {
        var health = agent([fresh("app")])
        health.configurationTrouble = AgentError(
            .configurationInvalid, "a\nWATCHDOG=trigger\u{1b}[2J\u{202e}" + String(repeating: "é", count: 5_000))
        let line = health.statusLine(at: noon)
        #expect(line.utf8.count <= AgentHealth.longestStatusLine)
        #expect(line.contains(#"a\nWATCHDOG=trigger\x1b[2J\u202e"#))
        #expect(line.hasSuffix("…"))
        #expect(!line.unicodeScalars.contains { $0.properties.generalCategory == .control })
    }

    @Test func `every failure has words of its own`() {
        #expect(Set(AgentError.Code.allCases.map(\.words)).count == AgentError.Code.allCases.count)
    }

    @Test(arguments: TokenHealth.Phase.allCases)
    func `only a valid token in every sink makes the agent ready`(phase: TokenHealth.Phase) {
        var token = fresh("app")
        token.phase = phase
        #expect(agent([token]).ready == (phase == .fresh || phase == .struggling))
        token.sinks.append(SinkHealth(name: "file /run/other", delivered: false))
        #expect(!agent([token]).ready)
        #expect(!agent([]).ready)
    }
}
