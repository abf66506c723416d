// ServiceHealth: the pages by which machines ask how the agent is. Pure.

package import HTTPServer
package import Timekeeping

/// Which pages a listener serves.
package struct HealthPages: OptionSet, Hashable, Sendable {
    package let rawValue: Int

    package init(rawValue: Int) {
        self.rawValue = rawValue
    }

    /// `/metrics`
    package static let metrics = HealthPages(rawValue: 1)
    /// `/healthz`, `/readyz`, `/readyz/NAME`
    package static let probes = HealthPages(rawValue: 2)

    /// `metrics and probes`
    package var words: String {
        [(HealthPages.metrics, "metrics"), (.probes, "probes")].filter { contains($0.0) }.map(\.1)
            .joined(separator: " and ")
    }

    /// The answer as the agent's state has it.
    package func reply(
        to request: ServerRequest, _ health: AgentHealth, _ metrics: Metrics, at now: WallTime
    ) -> ServerReply {
        switch request.path {
        case "/metrics" where contains(.metrics):
            let format = Metrics.Format(request)
            return ServerReply(.good, metrics.text(health, at: now, format: format), type: format.contentType)
        // Whether the agent works: good whenever it answers. No outage elsewhere makes a liveness probe fail.
        case "/healthz" where contains(.probes): return ServerReply(.good, "ok\n")
        // Whether every sink holds a valid token.
        case "/readyz" where contains(.probes): return Self.readiness(of: health, at: now)
        case let path where path.hasPrefix(Self.oneToken) && contains(.probes):
            guard let part = health.part(of: String(path.dropFirst(Self.oneToken.count))) else {
                return ServerReply(.notFound, "no such token\n")
            }
            return Self.readiness(of: part, at: now)
        default: return ServerReply(.notFound)
        }
    }

    private static let oneToken = "/readyz/"

    private static func readiness(of health: AgentHealth, at now: WallTime) -> ServerReply {
        ServerReply(health.ready ? .good : .unavailable, health.statusLine(at: now) + "\n")
    }
}

extension AgentHealth {
    /// The agent as if it kept this token alone, with the children of its sinks; nil: there is none of that name.
    fileprivate func part(of name: String) -> AgentHealth? {
        var part = self
        part.tokens = tokens.filter { $0.name == name || $0.name.hasPrefix("\(name)/") }
        (part.configurationTrouble, part.listeners) = (nil, [])
        return part.tokens.isEmpty ? nil : part
    }
}

extension Metrics.Format {
    /// OpenMetrics where the client understands it and does not like the older text better, as Prometheus has it.
    init(_ request: ServerRequest) {
        let open = request.preference(for: "application/openmetrics-text", versions: ["1.0.0", "0.0.1"])
        self = open > 0 && open >= request.preference(for: "text/plain") ? .openMetrics : .prometheus
    }
}
