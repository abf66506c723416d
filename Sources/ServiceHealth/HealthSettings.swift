// ServiceHealth: how the agent tells people and machines how it is. This file: what the configuration says about that.

package struct HealthSettings: Hashable, Sendable {
    package enum LogFormat: String, CaseIterable, Hashable, Sendable {
        /// Journal fields where stderr is the journal, else text.
        case auto
        case journal, json, text
    }

    package enum LogLevel: String, CaseIterable, Hashable, Sendable {
        case debug, info, warning, error
    }

    package var logFormat: LogFormat = .auto
    package var logLevel: LogLevel = .info
    /// Where the status file goes; nil: none.
    package var statusFile: String? = "/run/vault-token-agent/status.json"
    /// File for node_exporter's textfile collector.
    package var metricsTextfile: String?
    /// Where to serve `/metrics`, and the probes too unless ``probesListen`` says where: `127.0.0.1:9112`, `[::1]:9112` or
    /// `unix:///path`.
    package var metricsListen: String?
    /// Where to serve `/healthz` and `/readyz`.
    package var probesListen: String?

    /// What says all this; nil: no configuration.
    package var configuration: ConfigurationText?

    package init() {}

    /// What is served where.
    package var listeners: [String: HealthPages] {
        var listeners: [String: HealthPages] = [:]
        if let metricsListen { listeners[metricsListen] = probesListen == nil ? [.metrics, .probes] : .metrics }
        if let probesListen { listeners[probesListen, default: []].insert(.probes) }
        return listeners
    }
}

/// A configuration, to be told from others.
package struct ConfigurationText: Hashable, Sendable {
    /// What messages call it: `/etc/x.json`, `standard input`, `VTA_CONFIG`.
    package var name: String
    /// SHA-256 of the text, hexadecimal.
    package var digest: String

    package init(name: String, digest: String) {
        self.name = name
        self.digest = digest
    }
}
