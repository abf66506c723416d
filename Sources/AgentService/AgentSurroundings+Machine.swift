// AgentService: the real machine, as the surroundings of an agent.

import AWSIdentity
import AgentRuntime
import ChildProcess
import Configuration
import EventLoop
import HTTPClient
import Logging
import ServiceHealth
import StateDirectory

extension AgentSurroundings {
    /// This machine: libcurl, the process's environment and files, the state directory of the configuration.
    static func machine(
        _ configuration: AgentConfiguration, loop: EventLoop, environment: [String: String],
        sinks: sending any SinkMaking, reporter: sending any HealthReporter, beatInterval: Duration?, version: String,
        log: Logger
    ) -> sending AgentSurroundings {
        let files = configuration.stateDirectory.map { StateFiles(directory: $0, timekeeper: loop) }
        var surroundings = AgentSurroundings(
            loop: loop, transport: CurlTransport(loop: loop, log: log), environment: environment,
            files: LocalFiles(), processes: ChildLauncher(loop: loop), sinks: sinks,
            takeovers: files.map { FileTakeoverStore($0, log: log) },
            boot: MachineBoot.identifier(environment), reporter: reporter, beatInterval: beatInterval,
            seed: .random(in: 0 ... .max), version: version, log: log)
        surroundings.stateDirectory = configuration.stateDirectory
        if let files { surroundings.regions = FileRegionMemory(files, log: log) }
        return surroundings
    }
}
