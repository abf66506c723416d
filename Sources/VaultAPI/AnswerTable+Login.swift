// VaultAPI: the rows of the table of answers that are about a login: what STS said to Vault, what the aws method says of an
// identity or an instance, what any login may meet.

internal import Diagnosis

extension Answer {
    // MARK: The aws method, iam: what STS said to Vault

    private static let stsError = "received error code"

    static let stsRows = [
        row(
            [.login], errors, [stsError, "signature expired"], .clockSkew,
            "This machine's clock is slow, or the login took over 5 minutes: check `timedatectl` and chrony; AWS allows 5 minutes"
        ),
        row(
            [.login], errors, [stsError, "not yet current"], .clockSkew,
            "This machine's clock is fast: check `timedatectl` and chrony; AWS allows 5 minutes"),
        row(
            [.login], errors, [stsError, "requestexpired"], .clockSkew,
            "This machine's clock is off: check `timedatectl` and chrony; AWS allows 5 minutes"),
        row(
            [.login], errors, [stsError, "scoped to a valid region"], .awsRegionWrong,
            "auth.region and Vault's STS endpoint must be the same region: set auth.region to the one STS names, or have "
                + "sts_endpoint, sts_region or use_sts_region_from_client set at {mount}/config/client"),
        row(
            [.login], errors, [stsError, "regiondisabled"], .awsRegionWrong,
            "STS is switched off in this region for the account: switch it on in IAM's account settings, or set auth.region"
        ),
        row(
            [.login], errors, [stsError, "expiredtoken"], .awsCredentialsRefused,
            "The AWS session has expired; the agent fetches credentials anew and signs again. If it stays, their source "
                + "hands out expired ones"),
        row(
            [.login], errors, [stsError, "invalidclienttokenid"], .awsCredentialsRefused,
            "AWS does not know these keys: deleted, deactivated, of another partition, or of a region that the account has "
                + "not enabled; the agent fetches credentials anew and signs again"),
        row(
            [.login], errors, [stsError, "unrecognizedclient"], .awsCredentialsRefused,
            "AWS does not know these keys; the agent fetches credentials anew and signs again"),
        row(
            [.login], errors, [stsError, "signaturedoesnotmatch"], .awsCredentialsRefused,
            "The secret key does not belong to the key id, or Vault's sts_endpoint changes the request; the agent fetches "
                + "credentials anew and signs again"),
        row(
            [.login], errors, [stsError, "accessdenied"], .awsAccessDenied,
            "A policy forbids sts:GetCallerIdentity, as a VPC endpoint's policy at Vault's side can"),
        row(
            [.login], errors, [stsError, "throttl"], .vaultThrottled,
            "AWS slows Vault down; the agent leaves it alone, longer each time it says so"),
        row(
            [.login], errors, [stsError], .vaultUnavailable,
            "STS refused what Vault sent on, for now; the agent tries again with growing pauses"),
        row(
            [.login], errors, ["error making upstream request: error making request"], .vaultUnavailable,
            "Vault cannot reach STS: check egress and DNS at Vault's side, and sts_endpoint at {mount}/config/client"),
        row(
            [.login], errors, ["body of getcalleridentity is invalid"], .vaultUnavailable,
            "What answered Vault is not STS: check sts_endpoint at {mount}/config/client and proxies at Vault's side"),
        row(
            [.login], errors, ["error parsing sts response"], .vaultUnavailable,
            "What answered Vault is not STS: check sts_endpoint at {mount}/config/client and proxies at Vault's side"),
        row(
            [.login], errors, ["error making upstream request"], .vaultUnavailable,
            "Vault could not ask STS; the agent tries again with growing pauses"),
    ]

    // MARK: The aws method, iam: what Vault itself said

    static let iamRows = [
        row(
            [.login], errors, ["error validating x-vault-aws-iam-server-id header", "missing header"],
            .vaultLoginRefused,
            "Set auth.header_value to iam_server_id_header_value of {mount}/config/client"),
        row(
            [.login], errors, ["error validating x-vault-aws-iam-server-id header"], .vaultLoginRefused,
            "auth.header_value must be exactly iam_server_id_header_value of {mount}/config/client"),
        row(
            [.login], errors, ["invalid request header"], .vaultLoginRefused,
            "Allow that header by allowed_sts_header_values at {mount}/config/client"),
        row(
            [.login], errors, ["iam request body is invalid"], .vaultLoginRefused,
            "Vault takes only GetCallerIdentity: does something between the agent and Vault change the request?"),
        row(
            [.login], errors, ["unable to get regional sts endpoint"], .awsRegionWrong,
            "Vault knows no STS in that region: correct auth.region"),
        row(
            [.login], errors, ["region missing from authorization header"], .awsRegionWrong,
            "Set auth.region: Vault has use_sts_region_from_client on and takes the region from the signature"),
        row(
            [.login], errors, ["error parsing arn"], .vaultLoginRefused,
            "Vault takes IAM users, roles and assumed roles; log in as one of these, not as the account's root or a federated user"
        ),
        row(
            [.login], errors, ["iam principal", "does not belong to the role"], .vaultLoginRefused,
            "Bind this principal: `vault read {mount}/role/{role}` shows bound_iam_principal_arn. An assumed role is "
                + "bound by arn:aws:iam::ACCOUNT:role/NAME"),
        row(
            [.login], errors, ["error looking up full arn", "accessdenied"], .vaultLoginRefused,
            "Vault's own AWS credentials need iam:GetRole and iam:GetUser for a bound_iam_principal_arn with a wildcard"
        ),
        row(
            [.login], errors, ["error looking up full arn"], .vaultUnavailable,
            "Vault could not ask IAM about this principal: check the credentials at {mount}/config/client"),
        row(
            [.login], errors, ["as a valid ec2 instance", "invalidinstanceid.malformed"], .vaultLoginRefused,
            "The role infers an EC2 instance, which needs the instance's own role: log in with source imds, on EC2"),
        row(
            [.login], errors, ["as a valid ec2 instance", "unauthorizedoperation"], .vaultLoginRefused,
            "Vault's own AWS credentials need ec2:DescribeInstances"),
        row(
            [.login], errors, ["as a valid ec2 instance"], .vaultUnavailable,
            "The instance may not be running yet, or be in another region than the role's inferred_aws_region"),
    ]

    // MARK: The aws method, ec2

    private static let clearAccessList =
        "On this Vault: `vault delete {mount}/identity-accesslist/INSTANCE_ID` "
        + "(`identity-whitelist` in Vault before 1.7); then the agent logs in by itself"

    static let ec2Rows = [
        row(
            [.login], errors, ["client nonce mismatch"], .vaultOperatorNeeded,
            "Vault remembers another nonce for this instance: the state directory was lost, or something else logged in "
                + "first. Restore the nonce file, or clear the instance's entry. " + clearAccessList),
        row(
            [.login], errors, ["client nonce missing in stored identity"], .vaultOperatorNeeded,
            "Vault's entry for this instance is damaged: clear it. " + clearAccessList),
        row(
            [.login], errors, ["reauthentication is disabled"], .vaultOperatorNeeded,
            "The role or its tag lets each instance log in once (disallow_reauthentication), or the first login sent an "
                + "empty nonce. Change the role, then clear the instance's entry. " + clearAccessList),
        row(
            [.login], errors, ["instance meta-data is older"], .vaultOperatorNeeded,
            "A newer identity document of this instance was used before: is the machine restored from an image, or its "
                + "metadata cached? Clear the instance's entry. " + clearAccessList),
        row(
            [.login], errors, ["client nonce exceeding the limit"], .vaultLoginRefused,
            "Shorten the nonce in auth.nonce_file to 128 characters"),
        row(
            [.login], errors, ["failed to verify instance id", "unauthorizedoperation"], .vaultLoginRefused,
            "Vault's own AWS credentials need ec2:DescribeInstances"),
        row(
            [.login], errors, ["failed to verify instance id", "accessdenied"], .vaultLoginRefused,
            "Vault's own AWS credentials need ec2:DescribeInstances, and sts:AssumeRole for other accounts "
                + "({mount}/config/sts)"),
        row(
            [.login], errors, ["failed to verify instance id"], .vaultUnavailable,
            "The instance may not be running yet, or Vault cannot ask EC2; the agent tries again"),
        row(
            [.login], errors, ["failed to verify the signature"], .vaultLoginRefused,
            "Vault has no certificate that fits this region and proof: register AWS's regional certificate at "
                + "{mount}/config/certificate/NAME (type=pkcs7), or choose another auth.identity_document"),
        row(
            [.login], errors, ["instance identity verification", "unsuccessful"], .vaultLoginRefused,
            "Vault has no certificate that fits this region: register AWS's regional certificate at "
                + "{mount}/config/certificate/NAME (type=identity), or set auth.identity_document to rsa2048"),
        row(
            [.login], errors, ["certificates to verify the signature are not found"], .vaultLoginRefused,
            "Register AWS's regional certificate at {mount}/config/certificate/NAME"),
        row(
            [.login], errors, ["encoded pkcs#7 signature"], .vaultLoginRefused,
            "Vault cannot read the PKCS#7 from IMDS: choose another auth.identity_document"),
        row(
            [.login], errors, ["could not be found in the signature"], .vaultLoginRefused,
            "The PKCS#7 holds no document: choose another auth.identity_document"),
        row(
            [.login], errors, ["missing tag with key"], .vaultLoginRefused,
            "The role asks for a tag that the instance does not have: `vault read {mount}/role/{role}` shows role_tag"),
        row(
            [.login], errors, ["role tag"], .vaultLoginRefused,
            "The instance's role tag does not fit the role: make a new one by {mount}/role/{role}/tag"),
        row(
            [.login], errors, ["role on the tag is not matching"], .vaultLoginRefused,
            "The instance's role tag is for another role than auth.role"),
        row(
            [.login], errors, ["error validating instance"], .vaultLoginRefused,
            "The instance does not meet the role's bounds: `vault read {mount}/role/{role}` shows them"),
        row(
            [.login], errors, ["does not satisfy the constraint"], .vaultLoginRefused,
            "The instance does not meet the role's bounds: `vault read {mount}/role/{role}` shows them"),
    ]

    // MARK: Any login

    static let loginRows = [
        row(
            [.login], errors, ["entry for role", "not found"], .vaultLoginRefused,
            "Create the role by `vault write {mount}/role/{role} …`, or correct auth.role. Without auth.role Vault takes "
                + "the principal's name (iam) or the AMI's id (ec2)"),
        row(
            [.login], errors, ["auth method iam not allowed"], .vaultLoginRefused,
            "The role's auth_type is ec2: set auth.type to ec2, or use a role made with auth_type=iam"),
        row(
            [.login], errors, ["auth method ec2 not allowed"], .vaultLoginRefused,
            "The role's auth_type is iam: set auth.type to iam, or use a role made with auth_type=ec2"),
        row(
            [.login], errors, ["auth values"], .vaultLoginRefused,
            "Something between the agent and Vault changes the request, or {mount} is not the aws method that is meant"),
        row(
            [.login], errors, ["authentication values"], .vaultLoginRefused,
            "Something between the agent and Vault changes the request, or {mount} is not the aws method that is meant"),
        row(
            [.login], errors, ["missing client token"], .vaultLoginRefused,
            "No aws method at {mount}: `vault auth list` shows the mounts; check auth.mount_path and vault.namespace"),
        // Seen: "namespace not found".
        row(
            [.login], 400...404, ["namespace not found"], .vaultLoginRefused,
            "Correct vault.namespace or auth.namespace: give the whole path, once, and keep it out of auth.mount_path"),
        // Seen: "unsupported path" of another kind of method.
        row(
            [.login], 404...405, [], .vaultLoginRefused,
            "No aws method at {mount}: `vault auth list` shows the mounts; check auth.mount_path and vault.namespace"),
        // Seen: any path that is not there, for want of a token.
        row(
            [.login], 403...403, ["permission denied"], .vaultLoginRefused,
            "No aws method at {mount} (`vault auth list`; check auth.mount_path and vault.namespace), or role {role} binds other "
                + "source addresses (token_bound_cidrs), or an endpoint policy forbids it"),
    ]
}
