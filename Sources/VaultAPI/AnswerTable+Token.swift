// VaultAPI: the rows of the table of answers that are about a token: its renewal, its children, its wrapping, any other call
// made with it.

internal import Diagnosis

extension Answer {
    // MARK: Renewal

    private static let failedRenewal = "failed to renew entry"

    static let renewalRows = [
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
            [.renew], errors, [failedRenewal, "requestlimitexceeded"], .vaultThrottled,
            "AWS slows Vault down; the agent leaves it alone, longer each time it says so"),
        row(
            [.renew], errors, [failedRenewal, "throttl"], .vaultThrottled,
            "AWS slows Vault down; the agent leaves it alone, longer each time it says so"),
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

    static let childRows = [
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

    static let wrappingRows = [
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
    static let tokenRows = [
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
}
