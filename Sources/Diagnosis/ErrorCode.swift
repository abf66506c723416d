// Diagnosis: the closed list of failures. Each is documented, by its code, in docs/troubleshooting.md.

extension AgentError {
    /// The kinds of failure. The raw value is the name in logs, metrics and the troubleshooting guide.
    package enum Code: String, CaseIterable, Hashable, Sendable {
        // The agent's own configuration and command line
        /// The configuration cannot work: not JSON, unknown key, wrong type, missing field, contradictory values.
        case configurationInvalid = "configuration_invalid"
        /// A file that the configuration names cannot be read.
        case fileUnreadable = "file_unreadable"

        // AWS
        /// No source of the chain has credentials.
        case awsCredentialsAbsent = "aws_credentials_absent"
        /// A source is configured but broken: incomplete, malformed, expired, refused by policy.
        case awsCredentialsBroken = "aws_credentials_broken"
        /// IMDS or the container endpoint did not answer, or not in a usable way, for now.
        case awsMetadataUnavailable = "aws_metadata_unavailable"
        /// IMDS refuses the sessions that it grants.
        case awsMetadataRefused = "aws_metadata_refused"
        /// STS could not be reached, throttled or failed for now.
        case awsSTSUnavailable = "aws_sts_unavailable"
        /// AWS does not accept these credentials: expired, revoked or unknown. Fetch them anew.
        case awsCredentialsRefused = "aws_credentials_refused"
        /// The credentials are those of another identity than the configuration expects.
        case awsIdentityUnexpected = "aws_identity_unexpected"
        /// AWS accepts the credentials and refuses the request: a policy or trust relationship forbids it.
        case awsAccessDenied = "aws_access_denied"
        /// No region known, or one that STS does not accept.
        case awsRegionWrong = "aws_region_wrong"
        /// This machine's clock is off by more than signatures allow.
        case clockSkew = "clock_skew"

        // Vault
        /// No connection to Vault: name, route, refusal, time-out, broken answer.
        case vaultUnreachable = "vault_unreachable"
        /// TLS with Vault failed: certificate, name, protocol, client certificate.
        case vaultTLS = "vault_tls"
        /// Vault answered that it cannot serve for now: sealed, standby, its upstream failed, an answer not understood.
        case vaultUnavailable = "vault_unavailable"
        /// Vault, or AWS behind it, has too much to do and asks to be left alone for a while.
        case vaultThrottled = "vault_throttled"
        /// Vault refuses this login, and will until somebody changes the configuration of agent, role or mount.
        case vaultLoginRefused = "vault_login_refused"
        /// Vault denied a request (403) that is not a login and not the sign of a dead token.
        case vaultDenied = "vault_denied"
        /// Only an operator can mend it: the access list of an ec2 login, a disabled re-authentication.
        case vaultOperatorNeeded = "vault_operator_needed"
        /// The token is revoked, expired or unknown to Vault, or its role is gone. Log in again.
        case tokenDead = "token_dead"
        /// The token has reached its maximum and cannot be renewed. Log in again.
        case tokenAtMaximum = "token_at_maximum"
        /// The token cannot be renewed by its kind (batch, not renewable). Log in again in time.
        case tokenNotRenewable = "token_not_renewable"

        // This machine
        /// A sink could not be written: missing directory, permissions, read-only, wrong owner.
        case sinkUnwritable = "sink_unwritable"
        /// A sink could not be written for want of space or quota.
        case sinkFull = "sink_full"
        /// The agent's user has become a member of a group since the process was started, and only a new process has it.
        case groupsOutdated = "groups_outdated"
        /// An address to listen at is another program's, or is not this machine's.
        case addressUnavailable = "address_unavailable"
        /// The state directory could not be read or written.
        case stateUnwritable = "state_unwritable"
        /// An `on_change` command failed, was not found or ran too long.
        case commandFailed = "command_failed"
        /// The agent was told to stop, or the request was called off.
        case cancelled
        /// Something that cannot happen did: a fault of the agent.
        case internalFault = "internal_fault"
    }
}

extension AgentError.Code {
    /// The process's exit status for this failure, as sysexits.h names them.
    package var exitStatus: Int32 {
        switch self {
        case .configurationInvalid: 78  // EX_CONFIG
        case .fileUnreadable: 66  // EX_NOINPUT
        case .awsCredentialsAbsent, .awsCredentialsBroken, .awsCredentialsRefused, .awsIdentityUnexpected,
            .awsAccessDenied,
            .vaultLoginRefused,
            .vaultDenied, .vaultOperatorNeeded, .tokenDead, .tokenAtMaximum, .tokenNotRenewable:
            77  // EX_NOPERM
        case .awsRegionWrong: 78
        case .awsMetadataUnavailable, .awsMetadataRefused, .awsSTSUnavailable, .vaultUnreachable, .vaultTLS,
            .vaultUnavailable, .addressUnavailable:
            69  // EX_UNAVAILABLE
        case .vaultThrottled, .clockSkew, .groupsOutdated: 75  // EX_TEMPFAIL
        case .sinkUnwritable, .stateUnwritable: 73  // EX_CANTCREAT
        case .sinkFull: 74  // EX_IOERR
        case .commandFailed, .cancelled, .internalFault: 70  // EX_SOFTWARE
        }
    }
}

extension AgentError.Code {
    /// Whether only people can mend it: trying again soon only makes noise.
    package var needsPeople: Bool {
        switch self {
        case .configurationInvalid, .fileUnreadable, .awsIdentityUnexpected, .awsAccessDenied, .awsRegionWrong,
            .vaultLoginRefused,
            .vaultDenied,
            .vaultOperatorNeeded:
            true
        case .awsCredentialsAbsent, .awsCredentialsBroken, .awsMetadataUnavailable, .awsMetadataRefused,
            .awsSTSUnavailable, .awsCredentialsRefused, .clockSkew, .vaultUnreachable, .vaultTLS, .vaultUnavailable,
            .vaultThrottled,
            .tokenDead, .tokenAtMaximum, .tokenNotRenewable, .sinkUnwritable, .sinkFull, .groupsOutdated,
            .addressUnavailable,
            .stateUnwritable, .commandFailed, .cancelled, .internalFault:
            false
        }
    }

    /// Whether it says nothing about the token or the login: the other side was out of reach or busy.
    package var isPassing: Bool {
        switch self {
        case .vaultUnreachable, .vaultTLS, .vaultUnavailable, .vaultThrottled, .cancelled:
            true
        case .configurationInvalid, .fileUnreadable, .awsCredentialsAbsent, .awsCredentialsBroken,
            .awsMetadataUnavailable, .awsMetadataRefused, .awsSTSUnavailable, .awsCredentialsRefused,
            .awsIdentityUnexpected, .awsAccessDenied, .awsRegionWrong,
            .clockSkew, .vaultLoginRefused, .vaultDenied, .vaultOperatorNeeded, .tokenDead, .tokenAtMaximum,
            .tokenNotRenewable, .sinkUnwritable, .sinkFull, .groupsOutdated, .addressUnavailable, .stateUnwritable,
            .commandFailed,
            .internalFault:
            false
        }
    }
}
