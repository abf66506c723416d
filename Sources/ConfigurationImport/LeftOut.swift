// ConfigurationImport: what of Vault Agent's and OpenBao Agent's configuration has no counterpart, and why.

enum LeftOut {
    /// Why the key at this path is not in the result; nil: not a key that is known.
    static func reason(_ path: String) -> String? {
        reasons[path]
    }

    static let unknown = "not a key that is known of Vault Agent or OpenBao Agent"

    private static let tokensOnly = "this agent keeps tokens and does nothing else; keep Vault Agent beside it for that"
    private static let keys =
        "AWS keys do not belong in a configuration: put them into the environment or a profile (not copied)"
    private static let retries = "retries follow from the lease: see docs/operations.md"

    private static let reasons: [String: String] = [
        "template": tokensOnly, "template_config": tokensOnly, "env_template": tokensOnly, "exec": tokensOnly,
        "api_proxy": tokensOnly, "listener": tokensOnly,
        "cache": "tokens are not cached for others",
        "cache.use_auto_auth_token": tokensOnly, "cache.cache_static_secrets": tokensOnly,
        "cache.static_secret_token_capability_refresh_interval": tokensOnly,
        "cache.disable_caching_dynamic_secrets": tokensOnly,
        "cache.persist.type": "the state directory serves in Kubernetes and elsewhere alike",
        "cache.persist.service_account_token_file": "the state holds no secret, so it is not encrypted",
        "cache.persist.keep_after_import": "the state is always kept",
        "cache.persist.exit_on_err": "a state that cannot be read costs a login and is no error",
        "pid_file": "systemd and container runtimes know the process",
        "exit_after_auth": "run \"vault-token-agent login\": it ends when every token is in its sinks",
        "log_file": "the log goes to standard error: the journal or the container runtime keeps it",
        "log_rotate_bytes": "see log_file", "log_rotate_duration": "see log_file",
        "log_rotate_max_files": "see log_file",
        "telemetry": "set \"metrics\" for Prometheus: see docs/operations.md",
        "disable_idle_connections": "idle connections are closed anyhow",
        "disable_keep_alives": "connections are closed when nothing is to be asked for a while",
        "vault.retry": retries, "vault.transparent": tokensOnly,
        "auto_auth.method.min_backoff": retries,
        "auto_auth.method.exit_on_err": "the service never ends for an error; \"vault-token-agent login\" does",
        "auto_auth.method.config.access_key": keys, "auto_auth.method.config.secret_key": keys,
        "auto_auth.method.config.session_token": keys,
        "auto_auth.method.config.credential_poll_interval": "credentials are fetched when a login needs them",
        "auto_auth.method.config.nonce":
            "a nonce is a secret: put it into a file and name that by \"nonce_file\" (not copied)",
    ]
}
