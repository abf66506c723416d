// AgentRuntime: the AWS identities of one agent. Tokens that use the same one share what AWS gave for it.

import AWSIdentity

/// One chain for each way to AWS: a thousand tokens by an instance's role ask IMDS once, not a thousand times.
final class CredentialChains {
    private var chains: [AWSSettings: CredentialChain] = [:]

    func chain(_ settings: AWSSettings, _ surroundings: AgentSurroundings) -> CredentialChain {
        if let known = chains[settings] { return known }
        let chain = CredentialChain(
            settings: settings,
            surroundings: AWSSurroundings(
                environment: surroundings.environment, transport: surroundings.transport,
                timekeeper: surroundings.loop, log: surroundings.log, processes: surroundings.processes,
                jitterSeed: surroundings.seed, files: surroundings.files))
        chains[settings] = chain
        return chain
    }
}
