// AWSIdentity: what the configuration says about AWS. Whatever is nil here is looked up as the AWS CLI looks it up.

/// Where credentials may come from.
package enum CredentialSource: String, CaseIterable, Hashable, Sendable {
    /// The whole chain, in the AWS CLI's order.
    case auto
    case environment
    case assumeRole = "assume_role"
    case webIdentity = "web_identity"
    case profile
    case container
    case imds
}

package struct AWSSettings: Hashable, Sendable {
    package var source: CredentialSource = .auto
    /// The profile to read instead of `AWS_PROFILE`'s.
    package var profile: String?
    /// Allow version 1 of the instance metadata service where version 2 is not offered.
    package var allowIMDSv1 = false

    package init() {}
}
