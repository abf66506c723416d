// Configuration: the environment variables of Vault's and OpenBao's own tools.

enum VaultVariables {
    /// The first of `names` that is set and not empty. OpenBao's tools read each as `BAO_…` first.
    static func first(of names: [String], in environment: [String: String]) -> (name: String, value: String)? {
        for name in names.flatMap({ [openBao($0), $0] }) {
            if let value = environment[name], !value.isEmpty { return (name, value) }
        }
        return nil
    }

    private static func openBao(_ name: String) -> String {
        name.hasPrefix("VAULT_") ? "BAO_" + name.dropFirst("VAULT_".count) : name
    }

    /// A line for each that is set and has no effect here.
    static func warnings(_ environment: [String: String]) -> [String] {
        ignored.compactMap { name, why in
            first(of: [name], in: environment).map { "\($0.name) is set and has no effect: \(why)" }
        }
    }

    private static let ignored = [
        ("VAULT_MAX_RETRIES", "the agent tries until it succeeds, with growing pauses; see renewal.max_backoff"),
        ("VAULT_RATE_LIMIT", "the agent has limits of its own, far below what Vault notices"),
        ("VAULT_SRV_LOOKUP", "give the addresses in vault.address"),
        ("VAULT_AGENT_ADDR", "the agent asks Vault itself; give that address in vault.address"),
        (
            "VAULT_DISABLE_REDIRECTS",
            "redirects are followed to the hosts of vault.address, below them, and to vault.redirect_hosts"
        ),
        ("VAULT_TOKEN", "the agent logs in by its AWS identity"),
    ]
}
