// AgentRuntime: the AWS identities of one agent. Tokens that use the same one share what AWS gave for it.

import AWSIdentity

/// One chain for each way to AWS: a thousand tokens by an instance's role ask IMDS once, not a thousand times. All sign by one
/// clock.
final class CredentialChains {
    private var chains: [AWSSettings: CredentialChain] = [:]
    /// Nil before the first chain.
    private(set) var signingTime: SigningTime?

    func chain(_ settings: AWSSettings, _ surroundings: AgentSurroundings) -> CredentialChain {
        if let known = chains[settings] { return known }
        let time = signingTime ?? SigningTime(timekeeper: surroundings.loop, log: surroundings.log)
        signingTime = time
        let chain = CredentialChain(
            settings: settings,
            surroundings: AWSSurroundings(
                environment: surroundings.environment, transport: surroundings.transport,
                timekeeper: surroundings.loop, log: surroundings.log, processes: surroundings.processes,
                jitterSeed: surroundings.seed, files: surroundings.files, signingTime: time))
        chains[settings] = chain
        return chain
    }
}
