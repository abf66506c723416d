// AWSIdentity: what one source of credentials has to say.

internal import Diagnosis

/// Three outcomes; only absence lets the next source be asked.
enum ProviderOutcome {
    case found(AWSCredentials)
    /// Not configured here, and why that was concluded: "AWS_ACCESS_KEY_ID is not set".
    case absent(String)
    /// Configured and broken: to go on would be to guess another identity.
    case failed(AgentError)
}
