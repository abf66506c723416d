// AWSIdentity: what outlives a walk through the sources: IMDS's session, what an instance said of itself, who asked for peace.

internal import Diagnosis
internal import Timekeeping

final class IdentityMemory {
    let jitter: Jitter
    let metadata: InstanceMetadata
    /// What IMDS said: an instance's region does not change.
    var instanceRegion: String?
    /// What AWS said of credentials whose source tells too little, by access key id.
    var completed: [String: Principal] = [:]
    /// Files that were warned about.
    var warnedFiles: Set<String> = []
    /// The container endpoint's last refusal, and until when it asked to be left alone.
    var containerPause: (until: Instant, refusal: AgentError)?

    init(surroundings: AWSSurroundings) {
        jitter = Jitter(seed: surroundings.jitterSeed)
        metadata = InstanceMetadata(surroundings: surroundings, jitter: jitter)
    }
}
