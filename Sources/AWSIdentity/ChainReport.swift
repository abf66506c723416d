// AWSIdentity: what every source of the chain said, for a person who asks why it was this identity.

package import Crypto
package import Diagnosis
internal import SecretJSON
internal import Timekeeping

/// The whole chain at one moment.
package struct ChainReport: Sendable {
    package enum Finding: Sendable {
        /// The source whose credentials are used.
        case found(AWSCredentials)
        /// Not configured here, and why that was concluded.
        case absent(String)
        /// Configured and broken: the chain ends here.
        case failed(AgentError)
        /// A source before this one was found or failed.
        case neverReached
    }

    package struct Row: Sendable {
        /// By which name the configuration pins the source.
        package let source: CredentialSource
        /// For people: "credentials file".
        package let title: String
        package let finding: Finding
    }

    /// In the order in which the sources are asked.
    package let rows: [Row]
    package let region: Result<AWSRegion, AgentError>
    /// The URL of STS that goes with the region and the settings.
    package let stsEndpoint: Result<String, AgentError>

    /// What ``CredentialChain/credentials()`` would have given.
    package var outcome: Result<AWSCredentials, AgentError> {
        for row in rows {
            switch row.finding {
            case .found(let credentials): return .success(credentials)
            case .failed(let error): return .failure(error)
            case .absent, .neverReached: continue
            }
        }
        return .failure(Self.nothingFound(rows))
    }

    static func nothingFound(_ rows: [Row]) -> AgentError {
        let reasons = rows.compactMap { row in
            if case .absent(let why) = row.finding { "\(row.title): \(why)" } else { nil }
        }
        return AgentError(
            .awsCredentialsAbsent, "no source has AWS credentials (\(reasons.joined(separator: "; ")))",
            remedy: "Give the machine a role, or configure one of these sources")
    }
}

extension AWSCredentials {
    /// The document that AWS's `credential_process` prints, secrets and all, so that the agent can serve other tools.
    package var processDocument: Secret {
        var writer = JSONObjectWriter(capacity: 2_048)
        writer.add("Version", 1)
        writer.add("AccessKeyId", accessKeyID)
        writer.add("SecretAccessKey", secretAccessKey)
        if let sessionToken { writer.add("SessionToken", sessionToken) }
        if let expiration { writer.add("Expiration", expiration.rfc3339) }
        return writer.finish()
    }
}
