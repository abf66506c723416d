// VaultAPI: every answer that is not a success, what it means and what the reader can do about it. One table, first match wins.
//
// Status codes mislead: fatal conditions come as 500, passing ones as 400. So most rows go by the words. The words are
// those of Vault 1.8 to 1.19 and OpenBao 2.x; rows marked "seen" were met on the wire of OpenBao 2.7 (the tests against a
// real server meet them again), the others were read in the servers' sources, above all the aws method's path_login.go.

internal import Diagnosis

extension Answer {
    /// From top to bottom; ``unknown`` where nothing matches.
    static let table: [Answer] =
        clusterRows + stsRows + iamRows + ec2Rows + loginRows + renewalRows + childRows + wrappingRows + tokenRows
        + pageRows

    private static func row(
        _ operations: Set<VaultOperation>, _ statuses: ClosedRange<Int>, _ words: [String], _ code: AgentError.Code,
        about subject: Subject = .request, _ remedy: String
    ) -> Answer {
        Answer(
            operations: operations, statuses: statuses, words: words, code: code, subject: subject, remedy: remedy)
    }

    private static let any = Set(VaultOperation.allCases)
    private static let ofToken = any.subtracting([.login])
    private static let errors = 400...599

    // MARK: The cluster

    private static let clusterRows = [
        // Seen: "Vault is sealed".
        row(
            any, 503...503, ["sealed"], .vaultUnavailable, about: .server,
            "Unseal that server (`vault operator unseal`), or wait for its auto-unseal; the agent keeps trying"),
        row(
            any, 503...503, ["locked"], .vaultUnavailable,
            "An administrator has locked the namespace: `vault namespace unlock {namespace}`"),
        row(
            any, 500...500, ["local node not active but active cluster node not found"], .vaultUnavailable,
            about: .server,
            "The cluster is choosing a leader, or has lost its quorum: `vault operator raft list-peers`; the agent keeps trying"
        ),
        // Seen: "request path \"…\": rate limit quota exceeded", Retry-After where the server is set to send it.
        row(
            any, 429...429, [], .vaultThrottled, about: .server,
            "A quota of Vault's or a limit of a proxy is used up; the agent waits as long as it was told. "
                + "`vault list sys/quotas/rate-limit` and `vault list sys/quotas/lease-count` show the quotas"),
        row(
            any, 412...412, [], .vaultUnavailable, about: .server,
            "This server has not yet heard of the token (performance replication); the agent tries again shortly"),
        row(
            any, 400...500, ["cannot write to readonly storage"], .vaultUnavailable, about: .server,
            "This server is a standby that may not write; the agent tries again shortly. If it stays, give the active "
                + "server's address in vault.address"),
        row(
            any, 502...502, ["upstream rate limited"], .vaultUnavailable,
            "AWS slows Vault down; the agent tries again later"),
        row(
            any, 502...504, [], .vaultUnavailable, about: .server,
            "That server, or the proxy or load balancer before it, cannot serve now; the agent keeps trying"),
        row(
            any, 472...473, [], .vaultUnavailable, about: .server,
            "That server is a secondary or a performance standby behind a health check; the agent keeps trying"),
    ]

    // MARK: The aws method, iam: what STS said to Vault

    private static let stsError = "received error code"

    private static let stsRows = [
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

    private static let iamRows = [
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

    private static let ec2Rows = [
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

    private static let loginRows = [
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

    // MARK: Renewal

    private static let failedRenewal = "failed to renew entry"

    private static let renewalRows = [
        row(
            [.renew], errors, ["past the max ttl"], .tokenAtMaximum,
            "The token has reached its maximum; the agent logs in anew"),
        // The server could not ask EC2 or its own storage; the token lives on.
        row(
            [.renew], errors, [failedRenewal, "context deadline exceeded"], .vaultUnavailable,
            "Vault was too slow; the agent tries again"),
        row(
            [.renew], errors, [failedRenewal, "context canceled"], .vaultUnavailable,
            "Vault broke the request off; the agent tries again"),
        row(
            [.renew], errors, [failedRenewal, "requesterror: send request failed"], .vaultUnavailable,
            "Vault cannot reach AWS to check the instance; the agent tries again"),
        row(
            [.renew], errors, [failedRenewal, "request send failed"], .vaultUnavailable,
            "Vault cannot reach AWS to check the instance; the agent tries again"),
        // The two generations of AWS's SDK for Go.
        row(
            [.renew], errors, [failedRenewal, "status code: 5"], .vaultUnavailable,
            "AWS failed when Vault asked it about the principal; the agent tries again"),
        row(
            [.renew], errors, [failedRenewal, "statuscode: 5"], .vaultUnavailable,
            "AWS failed when Vault asked it about the principal; the agent tries again"),
        row(
            [.renew], errors, [failedRenewal, "requestlimitexceeded"], .vaultUnavailable,
            "AWS slows Vault down; the agent tries again later"),
        row(
            [.renew], errors, [failedRenewal, "throttl"], .vaultUnavailable,
            "AWS slows Vault down; the agent tries again later"),
        row(
            [.renew], errors, [failedRenewal], .tokenDead,
            "The role was deleted, no longer binds this principal, or the instance is gone; the agent logs in anew"),
        // Seen.
        row(
            [.renew], errors, ["batch tokens cannot be renewed"], .tokenNotRenewable,
            "The role gives batch tokens; the agent logs in anew in time"),
        // Seen.
        row(
            [.renew], errors, ["lease is not renewable"], .tokenNotRenewable,
            "Vault made this token not renewable; the agent logs in anew in time"),
        row(
            [.renew], errors, ["lease expired"], .tokenDead, "The token's lease has run out; the agent logs in anew"),
        row(
            [.renew], errors, ["invalid lease id"], .tokenDead,
            "Vault has lost the token's lease; the agent logs in anew"),
        row(
            [.renew], errors, ["lease not found"], .tokenDead,
            "Vault has lost the token's lease; the agent logs in anew"),
        // Seen.
        row(
            [.revoke], errors, ["batch tokens cannot be revoked"], .tokenNotRenewable,
            "A batch token ends with its lease only"),
    ]

    // MARK: Child tokens

    private static let childRows = [
        // Seen.
        row(
            [.createChild], 403...403, ["1 error occurred", "permission denied"], .vaultDenied,
            "For a sink with policies, a policy of role {role} must allow update on auth/token/create"),
        // Seen.
        row(
            [.createChild], errors, ["child policies must be subset of parent"], .vaultDenied,
            "A sink's policies must be among the token's own: `vault read {mount}/role/{role}` shows token_policies"),
        // Seen.
        row(
            [.createChild], errors, ["batch tokens cannot create more tokens"], .vaultDenied,
            "Role {role} gives batch tokens, which have no children: leave the sink's policies out, or set token_type=service"
        ),
        // Seen.
        row(
            [.createChild], errors, ["restricted use token cannot generate child tokens"], .vaultDenied,
            "Role {role} gives tokens with token_num_uses, which have no children: leave the sink's policies out, or lift the limit"
        ),
        row(
            [.createChild], errors, ["parent token lookup failed"], .tokenDead,
            "The token is gone; the agent logs in anew"),
    ]

    // MARK: Wrapping

    private static let wrappingRows = [
        // Seen.
        row(
            [.unwrap], errors, ["wrapping token is not valid or does not exist"], .tokenDead,
            "Wrapped replies can be read once: it expired, or somebody else read it. In the second case treat the token "
                + "inside as stolen and revoke it by its accessor; the agent logs in anew"),
        row(
            [.wrap], 403...403, ["1 error occurred", "permission denied"], .vaultDenied,
            "For a sink with wrap_ttl, a policy of role {role} must allow update on sys/wrapping/wrap, as the default policy does"
        ),
    ]

    // MARK: Any call with a token

    // Vault says a plain "permission denied" for a token that it does not know (Vault since 1.17 adds "invalid token"),
    // and "1 error occurred: * permission denied" for one that it knows but whose policies do not allow the path.
    private static let tokenRows = [
        // Seen: renew-self with a role's token_no_default_policy.
        row(
            [.renew, .lookUp, .revoke], 403...403, ["1 error occurred", "permission denied"], .vaultDenied,
            "The token is alive but may not do this, as with token_no_default_policy: a policy of role {role} must allow "
                + "update on auth/token/renew-self and auth/token/revoke-self and read on auth/token/lookup-self, as the default "
                + "policy does. Until then the agent logs in anew instead of renewing"),
        // Seen.
        row(
            ofToken, 403...403, ["permission denied"], .tokenDead,
            "The token is revoked, expired or unknown to this Vault, or may not be used from this address; the agent logs in anew"
        ),
        row(
            ofToken, 400...400, ["missing client token"], .vaultUnavailable,
            "The token did not arrive: does a proxy remove X-Vault-Token?"),
        // Seen.
        row(
            ofToken, 400...404, ["namespace not found"], .vaultDenied,
            "Correct vault.namespace or auth.namespace, or has the namespace been deleted?"),
    ]

    // MARK: Not Vault's own pages

    private static let pageRows = [
        row(
            any, 300...399, [], .vaultUnavailable, about: .server,
            "Redirected to where the agent does not follow: put the final address into vault.address"),
        // Seen.
        row(
            any, 400...400, ["client sent an http request to an https server"], .vaultUnreachable, about: .server,
            "Vault speaks TLS there: write https:// in vault.address"),
        row(
            any, 407...407, [], .vaultUnreachable, about: .server,
            "The proxy wants a login: put it into the proxy's URL, or the host into NO_PROXY"),
        row(
            any, 501...501, [], .vaultUnavailable, about: .server,
            "That server is not initialised, or does not know the request: `vault operator init`"),
    ]
}
