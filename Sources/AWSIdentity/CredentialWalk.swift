// AWSIdentity: one walk through the sources, over the files and the environment as they are at its beginning.

internal import Diagnosis
internal import Timekeeping

struct CredentialWalk {
    let settings: AWSSettings
    let surroundings: AWSSurroundings
    let memory: IdentityMemory
    let shared: SharedConfiguration

    init(settings: AWSSettings, surroundings: AWSSurroundings, memory: IdentityMemory) throws(AgentError) {
        self.settings = settings
        self.surroundings = surroundings
        self.memory = memory
        shared = try SharedConfiguration(
            settings: settings, surroundings: surroundings, warned: &memory.warnedFiles)
    }

    var profileText: String { "profile \(printable(shared.profileName))" }

    // MARK: Sources

    /// What a step of the chain has to say. Credentials that have expired are broken ones.
    func lookUp(_ step: ChainStep) async throws(AgentError) -> Lookup {
        let lookup: Lookup
        switch step {
        case .environment: lookup = try EnvironmentProvider(surroundings: surroundings).lookUp()
        case .assumeRole: lookup = try await assumeRole()
        case .webIdentity:
            lookup = try await webIdentity(
                profile: shared.profileName,
                environmentCounts: settings.profile == nil || settings.source == .webIdentity)
        case .container: lookup = try await ContainerProvider(surroundings: surroundings, memory: memory).lookUp()
        case .instance: lookup = try await instance().lookUp()
        default: lookup = try await lookUp(step, inSourceProfile: shared.profileName)
        }
        if case .found(let credentials) = lookup { return .found(try unexpired(credentials)) }
        return lookup
    }

    /// What a profile has by its own settings.
    func lookUp(_ step: ChainStep, inSourceProfile name: String) async throws(AgentError) -> Lookup {
        switch step {
        case .webIdentity: try await webIdentity(profile: name, environmentCounts: false)
        case .singleSignOn: try singleSignOn(profile: name)
        case .credentialsFile: try credentialsFile(profile: name)
        case .loginSession: try loginSession(profile: name)
        case .credentialProcess: try await credentialProcess(profile: name)
        case .configFile: try configFile(profile: name)
        case .environment, .assumeRole, .container, .instance: .absent("not a setting of profiles")
        }
    }

    /// Why a step is not asked at all; nil where it is.
    func reasonToPassOver(_ step: ChainStep) -> String? {
        if settings.source != .auto, settings.source != step.source {
            return "not asked: the configuration pins the source \(settings.source.rawValue)"
        }
        // As `aws --profile` has it.
        if step == .environment, settings.source == .auto, settings.profile != nil {
            return "not asked: the configuration names a profile"
        }
        return nil
    }

    func unexpired(_ credentials: AWSCredentials) throws(AgentError) -> AWSCredentials {
        guard let expiration = credentials.expiration, expiration <= surroundings.signingTime.now else {
            return credentials
        }
        throw AgentError(
            .awsCredentialsBroken,
            "the credentials of \(credentials.origin) expired at \(expiration.rfc3339); it is \(surroundings.signingTime.now.rfc3339)",
            remedy: "Renew them where they come from")
    }

    // MARK: Others' rooms

    func instance() throws(AgentError) -> InstanceProvider {
        InstanceProvider(
            surroundings: surroundings, memory: memory,
            options: try MetadataOptions(settings: settings, shared: shared, surroundings: surroundings))
    }

    /// The way to STS for what this walk must ask there.
    var route: STSRoute {
        STSRoute(settings: settings, surroundings: surroundings, memory: memory, shared: shared)
    }
}
