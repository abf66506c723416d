// AWSIdentity: what one source of credentials has to say, and the order in which the sources are asked.

/// A source that is configured and broken throws instead: to go on would be to guess another identity.
enum Lookup {
    case found(AWSCredentials)
    /// Not configured here, and why that was concluded: "AWS_ACCESS_KEY_ID is not set". Only then is the next source asked.
    case absent(String)
}

/// The sources, in the AWS CLI's order.
enum ChainStep: CaseIterable {
    case environment
    case assumeRole
    case webIdentity
    case singleSignOn
    case credentialsFile
    case loginSession
    case credentialProcess
    case configFile
    case container
    case instance

    /// By which name the configuration pins it.
    var source: CredentialSource {
        switch self {
        case .environment: .environment
        case .assumeRole: .assumeRole
        case .webIdentity: .webIdentity
        case .singleSignOn, .credentialsFile, .loginSession, .credentialProcess, .configFile: .profile
        case .container: .container
        case .instance: .imds
        }
    }

    /// For people.
    var title: String {
        switch self {
        case .environment: "environment variables"
        case .assumeRole: "role of a profile"
        case .webIdentity: "web identity"
        case .singleSignOn: "single sign-on"
        case .credentialsFile: "credentials file"
        case .loginSession: "login session"
        case .credentialProcess: "credential process"
        case .configFile: "config file"
        case .container: "container"
        case .instance: "instance metadata"
        }
    }

    /// What a `source_profile` may draw on: the profile's own settings.
    static let ofSourceProfile: [ChainStep] = [
        .webIdentity, .singleSignOn, .credentialsFile, .loginSession, .credentialProcess, .configFile,
    ]
}
