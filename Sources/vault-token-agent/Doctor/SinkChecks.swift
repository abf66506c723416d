// The command line, `doctor`: can each sink be written? The sinks themselves rehearse it, under another name: what stands at
// their paths may be in use.

private import AgentService
internal import Configuration
internal import Diagnosis
private import EventLoop
internal import Logging
private import ServiceHealth
private import TokenSinks

enum SinkChecks {
    static func findings(_ configuration: AgentConfiguration, log: Logger) throws(AgentError) -> [Finding] {
        let agent = runningAgent(configuration)
        return try AgentProcess.onLoop { loop throws(AgentError) in
            let factory = SinkFactory(loop: loop, log: log, agent: agent)
            var findings: [Finding] = []
            for settings in configuration.tokens.flatMap(\.sinks) {
                do throws(AgentError) {
                    let sink = try factory.makeSink(settings, log: log)
                    try await sink.check()
                    findings.append(.ok("sink", sink.name))
                    sink.close()
                } catch {
                    findings.append(.failed("sink", error))
                }
            }
            return findings
        }
    }

    /// The process that serves the sockets already; nil where no agent runs by this configuration.
    private static func runningAgent(_ configuration: AgentConfiguration) -> Int32? {
        guard let path = configuration.health.statusFile, let reading = try? StatusReading(path: path),
            reading.isHeld != false
        else { return nil }
        return Int32(exactly: reading.document.pid)
    }
}
