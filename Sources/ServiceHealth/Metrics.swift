// ServiceHealth: the agent's numbers in Prometheus' text format, version 0.0.4, or in OpenMetrics 1.0.0.
//
// Counters and gauges are made from AgentHealth; only the request durations are kept here. Labels are bounded by
// construction: token and sink names come from the configuration, codes and operations from closed lists.

package import Diagnosis
package import Timekeeping
private import TokenLifecycle

/// The page that Prometheus scrapes, and the file that node_exporter's textfile collector reads.
///
/// Not Sendable: call it from the agent's queue.
package final class Metrics {
    /// What the agent asks others to do, as the label `operation`.
    package enum Operation: String, CaseIterable, Hashable, Sendable {
        case awsCredentials = "aws_credentials"
        case login
        case renew
        case lookUp = "look_up"
        case revoke
        case createChild = "create_child"
        case wrap
    }

    private var durations: [Operation: Histogram] = [:]
    /// How many log records have been lost since the start.
    package var lostRecords: @Sendable () -> Int = { 0 }

    package init() {}

    /// A request was answered, well or badly, or given up, after so long.
    package func observe(_ operation: Operation, _ duration: Duration) {
        durations[operation, default: Histogram()].observe(duration.inSeconds)
    }

    /// Does `body` and observes how long it took by `timekeeper`, whatever its end.
    package func observing<Value, Failure: Error>(
        _ operation: Operation, by timekeeper: any Timekeeper, _ body: () async throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        let began = timekeeper.now
        defer { observe(operation, timekeeper.now - began) }
        return try await body()
    }

    /// How the page is written.
    package enum Format: Sendable {
        case prometheus, openMetrics

        package var contentType: String {
            switch self {
            case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
            case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
        }
    }

    /// The whole page. A sample that has no value (the expiry of a token that is not there) is left out.
    package func text(_ health: AgentHealth, at now: WallTime, format: Format = .prometheus) -> String {
        var page = MetricsPage(format: format)
        page.add("build_info", "gauge", "1, with the agent's version as a label.", [(["version": health.version], 1)])
        page.add("start_time_seconds", "gauge", "When the agent started, Unix time.", health.startedAt.unixSeconds)
        page.add(
            "heartbeat_timestamp_seconds", "gauge",
            "When the agent's queue last made progress, Unix time; at most 30 s old in a healthy agent.",
            now.unixSeconds)
        page.add("ready", "gauge", "1 while every sink of every token holds a valid token.", health.ready ? 1 : 0)
        page.add(
            "config_last_reload_successful", "gauge", "0 after a reload that was refused.",
            health.configurationTrouble == nil ? 1 : 0)
        page.add(
            "log_records_dropped_total", "counter", "Log records that neither the journal nor stderr's reader took.",
            Double(lostRecords()))
        addState(of: health.tokens, to: &page)
        addCounters(of: health.tokens, to: &page)
        page.addHistogram(
            "request_duration_seconds", "Time from sending a request to its answer or failure.",
            Operation.allCases.compactMap { operation in
                durations[operation].map { (["operation": operation.rawValue], $0) }
            })
        return page.whole
    }

    private func addState(of tokens: [TokenHealth], to page: inout MetricsPage) {
        page.add(
            "token_fresh", "gauge", "1 while every sink holds a valid token, 0 otherwise.",
            tokens.map { (["token": $0.name], $0.served ? 1 : 0) })
        page.add(
            "token_expiry_timestamp_seconds", "gauge",
            "When the token in hand expires, Unix time; +Inf for one that never does, absent without a token.",
            tokens.compactMap { token in
                let expiry = token.neverExpires ? .infinity : token.validUntil?.unixSeconds
                return expiry.map { (["token": token.name], $0) }
            })
        addOutageBudget(of: tokens, to: &page)
        page.add(
            "token_next_action_timestamp_seconds", "gauge",
            "When the agent next renews, logs in or tries again, Unix time.",
            tokens.compactMap { token in token.nextAt.map { (["token": token.name], $0.unixSeconds) } })
        page.add(
            "token_failing_since_timestamp_seconds", "gauge",
            "When the present row of failures began, Unix time; absent while nothing fails.",
            tokens.compactMap { token in
                token.firstTrouble.map {
                    (["token": token.name, "code": $0.error.code.rawValue], $0.since.unixSeconds)
                }
            })
        page.add(
            "sink_delivered", "gauge", "1 while the sink holds the token that is valid now.",
            tokens.flatMap { token in
                token.sinks.map { (["token": token.name, "sink": $0.name], $0.delivered ? 1 : 0) }
            })
    }

    private func addOutageBudget(of tokens: [TokenHealth], to page: inout MetricsPage) {
        page.add(
            "token_survives_vault_outage_until_timestamp_seconds", "gauge",
            "Until when every sink's readers have a valid token if Vault goes away now, Unix time; +Inf: for good, "
                + "absent: they have none.",
            tokens.compactMap { token in
                token.outageBudget.map { (["token": token.name], $0.withoutVault?.unixSeconds ?? .infinity) }
            })
        page.add(
            "token_survives_aws_outage_until_timestamp_seconds", "gauge",
            "The same if AWS goes away now; later where Vault goes on renewing the token.",
            tokens.compactMap { token in
                token.outageBudget.map { (["token": token.name], $0.withoutAWS?.unixSeconds ?? .infinity) }
            })
    }

    private func addCounters(of tokens: [TokenHealth], to page: inout MetricsPage) {
        func count(_ name: String, _ help: String, _ value: (TokenCounters) -> Int) {
            page.add(name, "counter", help, tokens.map { (["token": $0.name], Double(value($0.counters))) })
        }
        count("logins_total", "Logins that gave a token.") { $0.logins }
        count("renewals_total", "Renewals that succeeded.") { $0.renewals }
        count("lookups_total", "Lookups that were answered.") { $0.lookups }
        count("sink_writes_total", "Times a sink was written.") { $0.sinkWrites }
        count("sink_repairs_total", "Times a sink was put back after somebody deleted or changed it.") {
            $0.sinkRepairs
        }
        page.add(
            "failures_total", "counter", "Failures by code; docs/troubleshooting.md explains each.",
            tokens.flatMap { token in
                token.counters.failures.sorted { $0.key.rawValue < $1.key.rawValue }
                    .map { (["token": token.name, "code": $0.key.rawValue], Double($0.value)) }
            })
    }
}

/// ``Metrics`` in a file, for machines where node_exporter's textfile collector is at work and no port is wanted.
package final class MetricsFile: Sendable {
    private let file: PublicFile

    /// `path` is absolute, in the collector's directory, and ends in `.prom`.
    package init(path: String) {
        file = PublicFile(path: path)
    }

    /// To be called at each change and each beat. Throws `stateUnwritable`; the old content then stands. May wait for a disk: one
    /// call at a time.
    package func write(_ page: String) throws(AgentError) {
        try file.replace(with: page)
    }
}

extension WallTime {
    fileprivate var unixSeconds: Double {
        Double(nanosecondsSince1970) / 1e9
    }
}

/// Counts of durations by upper bound.
struct Histogram {
    /// Seconds. Prometheus' own defaults, and 30 s above them: the agent's requests are bounded by tens of seconds.
    static let bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

    /// How many fell into each bucket alone; the last is for those above all bounds.
    private var counts = [Int](repeating: 0, count: bounds.count + 1)
    private(set) var sum = 0.0

    mutating func observe(_ seconds: Double) {
        counts[Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count] += 1
        sum += seconds
    }

    var count: Int { counts.reduce(0, +) }

    /// Bound and number of observations at or below it, `+Inf` last.
    var cumulative: [(bound: Double, count: Int)] {
        var running = 0
        return zip(Self.bounds + [.infinity], counts).map { bound, count in
            running += count
            return (bound, running)
        }
    }
}

/// Prometheus' text format, written.
private struct MetricsPage {
    typealias Labels = KeyValuePairs<String, String>

    let format: Metrics.Format
    private var text = ""

    init(format: Metrics.Format) {
        self.format = format
    }

    var whole: String {
        switch format {
        case .prometheus: text
        case .openMetrics: text + "# EOF\n"
        }
    }

    mutating func add(_ name: String, _ type: String, _ help: String, _ value: Double) {
        let unlabelled: Labels = [:]
        add(name, type, help, [(unlabelled, value)])
    }

    /// A family without samples is left out.
    mutating func add(_ name: String, _ type: String, _ help: String, _ samples: [(Labels, Double)]) {
        guard !samples.isEmpty else { return }
        begin(name, type, help)
        for (labels, value) in samples { addSample(name, labels, value) }
    }

    mutating func addHistogram(_ name: String, _ help: String, _ samples: [(Labels, Histogram)]) {
        guard !samples.isEmpty else { return }
        begin(name, "histogram", help)
        for (labels, histogram) in samples {
            for bucket in histogram.cumulative {
                addSample("\(name)_bucket", labels, Double(bucket.count), bound: bucket.bound)
            }
            addSample("\(name)_sum", labels, histogram.sum)
            addSample("\(name)_count", labels, Double(histogram.count))
        }
    }

    private mutating func begin(_ name: String, _ type: String, _ help: String) {
        // In OpenMetrics the family of a counter is named without the end of its samples.
        let family = format == .openMetrics && type == "counter" ? String(name.dropLast("_total".count)) : name
        text += "# HELP vault_token_agent_\(family) \(help)\n# TYPE vault_token_agent_\(family) \(type)\n"
    }

    private mutating func addSample(_ name: String, _ labels: Labels, _ value: Double, bound: Double? = nil) {
        var pairs: [String] = labels.map { "\($0)=\"\(Self.escaped($1))\"" }
        if let bound { pairs.append("le=\"\(self.bound(bound))\"") }
        let braces = pairs.isEmpty ? "" : "{\(pairs.joined(separator: ","))}"
        text += "vault_token_agent_\(name)\(braces) \(Self.number(value))\n"
    }

    /// OpenMetrics has numbers in a label written in one way only: `1.0`, not `1`.
    private func bound(_ value: Double) -> String {
        let number = Self.number(value)
        return format == .openMetrics && Int64(number) != nil ? number + ".0" : number
    }

    /// Whole numbers without a point, times to the millisecond.
    private static func number(_ value: Double) -> String {
        if value == .infinity { return "+Inf" }
        if let whole = Int64(exactly: value) { return String(whole) }
        return String((value * 1_000_000).rounded() / 1_000_000)
    }

    /// A label's value: `\`, `"` and line breaks escaped, other control characters shown as text.
    private static func escaped(_ value: String) -> String {
        printable(printable(value, limit: 200), limit: 400, escaping: .quoted)
    }
}
