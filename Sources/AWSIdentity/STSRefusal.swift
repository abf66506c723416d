// AWSIdentity: what STS's refusals mean: what to call them, whether they pass by themselves, what the reader can do.

internal import Diagnosis
internal import HTTPClient

/// One failed request to STS.
struct STSRefusal: Error {
    /// Who asked whom for what.
    struct Context {
        let action: String
        let host: String
        let signer: AWSCredentials?
    }

    let error: AgentError
    /// The SDKs' standard mode would try again.
    let passes: Bool
    /// What STS said; nil where it said nothing.
    let words: STSWords?

    /// Error codes that ask for less haste, or that pass. Source: the SDKs' standard retry mode, as botocore 1.43 lists it.
    private static let passingCodes: Set = [
        "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottledException", "RequestThrottled",
        "TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded", "LimitExceededException",
        "SlowDown",
        "PriorRequestNotComplete", "RequestTimeout", "RequestTimeoutException", "IDPCommunicationError",
        "InternalFailure", "ServiceUnavailable",
    ]

    /// There was no reply.
    init(_ failure: HTTPFailure, _ context: Context) {
        let observed = "\(context.action) got no answer from STS: \(failure.observed)"
        words = nil
        switch failure.kind {
        case .replyMalformed, .replyTooLong:
            error = AgentError(
                .awsSTSUnavailable,
                "the answer to \(context.action) from \(context.host) cannot be read: \(failure.observed)",
                remedy: "Check that it is STS that answers there, and no proxy")
            passes = true
        case .cancelled:
            error = AgentError(.cancelled, "\(context.action) was called off")
            passes = false
        case .certificateRefused, .tlsFailed:
            error = AgentError(
                .awsSTSUnavailable, observed,
                remedy: "Where a proxy or a private endpoint has its own CA, name it in AWS_CA_BUNDLE")
            passes = false
        case .badURL:
            error = AgentError(.configurationInvalid, observed, remedy: "Check sts_endpoint and AWS_ENDPOINT_URL_STS")
            passes = false
        case .proxyFailed:
            error = AgentError(.awsSTSUnavailable, observed, remedy: "Check HTTPS_PROXY and NO_PROXY")
            passes = true
        default:
            error = AgentError(
                .awsSTSUnavailable, observed,
                remedy: "Check that \(context.host) can be reached: routes, a VPC endpoint for STS, HTTPS_PROXY")
            passes = true
        }
    }

    /// There was a reply, and it is not XML that can be read.
    init(status: Int, unreadable fault: XMLReply.Fault, _ context: Context) {
        error = AgentError(
            .awsSTSUnavailable,
            "STS at \(context.host) answered \(context.action) with status \(status) and no XML: "
                + "\(fault.complaint) in line \(fault.line)",
            remedy: "Check that it is STS that answers there, and no proxy")
        passes = status >= 500 || status == 429
        words = nil
    }

    /// STS said no.
    init(status: Int, _ document: XMLReply, _ context: Context) {
        // `Error` is what STS sends; `Errors/Error` is EC2's form, which front doors use for what is none of STS's business.
        let code = document.text("Error/Code") ?? document.text("Errors/Error/Code") ?? "no code"
        let message = document.text("Error/Message") ?? document.text("Errors/Error/Message") ?? ""
        let (kind, remedy) = Self.meaning(of: code, message, context)
        let passing = Self.passingCodes.contains(code) || [429, 500, 502, 503, 504].contains(status)
        error = AgentError(
            passing ? .awsSTSUnavailable : kind,
            "STS refused \(context.action) (\(status) \(printable(code))): \(printable(message))",
            remedy: passing ? "" : remedy)
        passes = passing
        words = STSWords(text: message)
    }

    private static func meaning(of code: String, _ message: String, _ context: Context) -> (AgentError.Code, String) {
        let origin = context.signer?.origin ?? "the web identity token"
        switch code {
        case "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException":
            return (.awsCredentialsRefused, "The credentials of \(origin) have expired, or were deleted: renew them")
        case "RequestTimeTooSkewed", "RequestExpired", "InvalidSignatureException", "SignatureDoesNotMatch",
            "IncompleteSignature":
            return signatureMeaning(code, message, origin)
        case "AccessDenied", "AccessDeniedException":
            return (
                .awsAccessDenied,
                context.signer == nil
                    ? "The role's trust policy must name the token's issuer and subject"
                    : "The role's trust policy must name \(origin), and its own policies must allow sts:AssumeRole"
            )
        case "InvalidIdentityToken", "IDPRejectedClaim", "InvalidIdentityTokenException":
            return (
                .awsCredentialsRefused,
                "Check the token's audience (sts.amazonaws.com) and that the account knows its issuer as OIDC provider"
            )
        case "RegionDisabledException":
            return (.awsRegionWrong, "Switch the region on for the account, or sign for another")
        case "ValidationError", "MalformedPolicyDocument", "PackedPolicyTooLarge", "InvalidParameterValue":
            return (.awsCredentialsBroken, "Check role_arn, role_session_name, external_id and duration_seconds")
        default:
            return (.awsAccessDenied, "See the error code in the STS API reference")
        }
    }

    private static func signatureMeaning(
        _ code: String, _ message: String, _ origin: String
    ) -> (AgentError.Code, String) {
        if code.hasPrefix("Request") || STSWords(text: message).isAboutTime {
            return (.clockSkew, "Set this machine's clock right: STS allows 5 minutes")
        }
        if message.holds("valid region") {
            return (.awsRegionWrong, "Sign for the region that the endpoint belongs to; see region and sts_endpoint")
        }
        return (.awsCredentialsRefused, "The secret access key of \(origin) does not belong to its access key id")
    }
}
