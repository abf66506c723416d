import Diagnosis
import Glibc
import ServiceHealth
import TestSupport
import Testing
import Timekeeping
import TokenLifecycle

/// What a shell command printed, and its exit status. Finds what the set-up has put into `.venv/bin` too.
func run(_ command: String) -> (output: String, status: Int32) {
    let project = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let path = "PATH=\"$PATH:/\(project)/.venv/bin\"; export PATH"
    guard let stream = unsafe popen("\(path); \(command) 2>&1", "r") else { return ("", -1) }
    var output: [UInt8] = []
    while case let byte = unsafe fgetc(stream), byte != EOF { output.append(UInt8(truncatingIfNeeded: byte)) }
    return (String(decoding: output, as: UTF8.self), unsafe pclose(stream) >> 8)
}

@Suite struct MetricsTests {
    func busy() -> (Metrics, AgentHealth) {
        let metrics = Metrics()
        metrics.lostRecords = { 17 }
        metrics.observe(.login, .milliseconds(70))
        metrics.observe(.login, .seconds(45))
        metrics.observe(.renew, .milliseconds(5))
        var eternal = fresh("eternal")
        eternal.neverExpires = true
        eternal.outageBudget = OutageBudget(withoutVault: nil, withoutAWS: nil, isRenewedWithoutAWS: false)
        var starting = TokenHealth(name: "starting", phase: .starting, since: noon)
        starting.trouble = Trouble(error: unreachable, since: noon + .milliseconds(-1_500))
        starting.sinks = [SinkHealth(name: "file /odd\"\\\n", delivered: false)]
        var app = fresh("app")
        app.counters.logins = 3
        app.outageBudget = OutageBudget(
            withoutVault: app.validUntil, withoutAWS: noon + .seconds(900), isRenewedWithoutAWS: false)
        app.counters.sinkRepairs = 1
        app.counters.failures = [.vaultThrottled: 2, .vaultUnreachable: 7]
        return (metrics, agent([app, eternal, starting]))
    }

    @Test func `every fact is one sample under its conventional name`() {
        let (metrics, health) = busy()
        let lines = metrics.text(health, at: noon).split(separator: "\n")
        for line in [
            #"vault_token_agent_build_info{version="1.0.0"} 1"#,
            #"vault_token_agent_ready 0"#,
            #"vault_token_agent_log_records_dropped_total 17"#,
            #"vault_token_agent_config_last_reload_successful 1"#,
            #"vault_token_agent_heartbeat_timestamp_seconds 1795255091"#,
            #"vault_token_agent_token_fresh{token="app"} 1"#,
            #"vault_token_agent_token_fresh{token="starting"} 0"#,
            #"vault_token_agent_token_expiry_timestamp_seconds{token="app"} 1795255923"#,
            #"vault_token_agent_token_expiry_timestamp_seconds{token="eternal"} +Inf"#,
            #"vault_token_agent_token_survives_vault_outage_until_timestamp_seconds{token="app"} 1795255923"#,
            #"vault_token_agent_token_survives_vault_outage_until_timestamp_seconds{token="eternal"} +Inf"#,
            #"vault_token_agent_token_survives_aws_outage_until_timestamp_seconds{token="app"} 1795255991"#,
            #"vault_token_agent_token_failing_since_timestamp_seconds{token="starting",code="vault_unreachable"} 1795255089.5"#,
            #"vault_token_agent_logins_total{token="app"} 3"#,
            #"vault_token_agent_sink_repairs_total{token="app"} 1"#,
            #"vault_token_agent_failures_total{token="app",code="vault_throttled"} 2"#,
            #"vault_token_agent_failures_total{token="app",code="vault_unreachable"} 7"#,
            #"vault_token_agent_request_duration_seconds_bucket{operation="login",le="0.05"} 0"#,
            #"vault_token_agent_request_duration_seconds_bucket{operation="login",le="0.1"} 1"#,
            #"vault_token_agent_request_duration_seconds_bucket{operation="login",le="30"} 1"#,
            #"vault_token_agent_request_duration_seconds_bucket{operation="login",le="+Inf"} 2"#,
            #"vault_token_agent_request_duration_seconds_sum{operation="login"} 45.07"#,
            #"vault_token_agent_request_duration_seconds_count{operation="login"} 2"#,
            #"vault_token_agent_request_duration_seconds_bucket{operation="renew",le="0.005"} 1"#,
        ] {
            #expect(lines.contains(Substring(line)), "\(line)")
        }
        #expect(
            !lines.contains { ($0.contains("expiry") || $0.contains("outage_until")) && $0.contains(#""starting""#) })
    }

    @Test(.enabled("promtool is installed", { run("command -v promtool").status == 0 }))
    func `promtool finds nothing to complain of`() throws {
        let directory = TemporaryDirectory()
        let (metrics, health) = busy()
        try MetricsFile(path: directory.file("agent.prom")).write(metrics.text(health, at: noon))
        let (output, status) = run("promtool check metrics < \(directory.file("agent.prom"))")
        #expect(status == 0 && output.isEmpty, "\(output)")
        #expect(directory.names == ["agent.prom"])
    }

    @Test func `each family is declared once, before its samples`() {
        let (metrics, health) = busy()
        var declared: [Substring] = []
        for line in metrics.text(health, at: noon).split(separator: "\n") {
            if line.hasPrefix("# TYPE ") {
                declared.append(line.split(separator: " ")[2])
            } else if !line.hasPrefix("#") {
                #expect(line.hasPrefix(declared.last ?? "?"))
            }
        }
        #expect(Set(declared).count == declared.count)
    }

    @Test func `a label cannot break out of its quotes`() {
        let (metrics, health) = busy()
        #expect(metrics.text(health, at: noon).contains(#"sink="file /odd\"\\\\n"} 0"#))
    }
}
