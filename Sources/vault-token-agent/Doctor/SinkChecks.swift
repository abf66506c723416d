// The command line, `doctor`: can each sink be written? The sinks themselves rehearse it, under another name.

private import AgentRuntime
internal import Configuration
internal import Diagnosis
private import EventLoop
internal import Logging
private import TokenSinks

enum SinkChecks {
    static func findings(_ tokens: [TokenSettings], log: Logger) throws(AgentError) -> [Finding] {
        try AgentProcess.onLoop { loop throws(AgentError) in
            let factory = SinkFactory(loop: loop, log: log)
            var findings: [Finding] = []
            for settings in tokens.flatMap(\.sinks) {
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
}
