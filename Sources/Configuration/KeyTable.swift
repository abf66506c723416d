// Configuration: every key of the file, once: its shape, its default, its meaning. Order is the reference's order.

private import AWSIdentity
private import ServiceHealth
private import TokenLifecycle
private import TokenSinks
private import VaultAPI

/// The whole file.
enum KeyTable {
    /// Most strings in one list.
    static let listLimit = 100

    static let root = Section(
        title: "The file",
        keys: [
            ConfigurationKey(
                name: "$schema", shape: .text(.plain), fallback: .described("none"),
                summary: "For editors: where the JSON Schema is. The agent does not read it."),
            ConfigurationKey(
                name: "vault", shape: .section(vault), fallback: .keys,
                summary: "Where Vault or OpenBao is."),
            ConfigurationKey(
                name: "tokens", shape: .sections(token), fallback: .required, elementLimit: 10_000,
                summary:
                    "The tokens to keep fresh. Each has a life of its own: one that fails does not touch the others."),
            ConfigurationKey(
                name: "state_directory", shape: .text(.writePath),
                fallback: .described("`$STATE_DIRECTORY` where systemd sets it, else none"), nullable: true,
                summary: """
                    Directory for what must outlive the process: the nonce of an `ec2` login, and what a restart \
                    needs to take over a token that is still good. `null`: nothing is kept, and each start logs in \
                    anew.
                    """),
            ConfigurationKey(
                name: "reload_on_change", shape: .flag, fallback: .value("false"),
                summary: """
                    Read this file anew, as SIGHUP does, a second after it has become another one, also through links that \
                    lead to it, as in a Kubernetes ConfigMap. One that cannot work is refused and changes nothing; where \
                    that is for what this machine lacks, such as a group or a directory, it is tried again until the \
                    machine has it.
                    """),
            ConfigurationKey(
                name: "confine_to", shape: .list(of: .writePath), fallback: .described("not confined"),
                summary: """
                    Directories below which alone the service may write, from its start to its end, and what it starts too: \
                    commands of `on_change` and `credential_process` may write nowhere else, and gain no rights by sudo. By \
                    the kernel's Landlock, where it has that; else a warning says so. They must be there at the start. Another \
                    list counts from the next restart on.
                    """),
            ConfigurationKey(
                name: "log", shape: .section(log), fallback: .keys,
                summary: "What is logged and how. The log goes to standard error."),
            ConfigurationKey(
                name: "status_file", shape: .text(.writePath),
                fallback: .described(
                    "`status.json` in `$RUNTIME_DIRECTORY` where systemd sets it, else in `/run/vault-token-agent`"),
                nullable: true,
                summary: """
                    File that `vault-token-agent status` and `healthcheck` read. Holds no secret. `null`: none is \
                    written.
                    """),
            ConfigurationKey(
                name: "metrics", shape: .section(metrics), fallback: .keys,
                summary: "Where Prometheus finds the agent's metrics."),
            ConfigurationKey(
                name: "probes", shape: .section(probes), fallback: .keys,
                summary: "Where others ask over HTTP how the agent is."),
        ])

    static let vault = Section(
        title: "Vault",
        keys: [
            ConfigurationKey(
                name: "address", shape: .textOrList(.address), fallback: .required,
                variables: ["VAULT_ADDR"], flag: "--vault-addr",
                summary: """
                    Base URL: `https://…`, `http://…` or `unix:///path`. A list is tried in order; the agent stays \
                    with the one that works.
                    """),
            ConfigurationKey(
                name: "namespace", shape: .text(.namespace), fallback: .value(""),
                variables: ["VAULT_NAMESPACE"], flag: "--vault-namespace",
                summary: "Namespace of the auth mount and of the token, and the one that readers are told."),
            ConfigurationKey(
                name: "tls", shape: .section(tls), fallback: .keys,
                summary: "Trust and identity. Always TLS 1.2 or newer."),
            ConfigurationKey(
                name: "proxy", shape: .text(.proxy),
                fallback: .described("`HTTPS_PROXY`, or `http_proxy` for `http://`, except for `NO_PROXY`"),
                variables: ["VAULT_PROXY_ADDR", "VAULT_HTTP_PROXY"],
                summary: """
                    URL of a proxy for every request to Vault, whatever `NO_PROXY` says: `http://…`, `https://…`, \
                    `socks5://…`. A login at the proxy belongs into the variable, not into the file.
                    """),
            ConfigurationKey(
                name: "redirect_hosts", shape: .list(of: .hostPattern), fallback: .described("none"),
                summary: """
                    Hosts that Vault may redirect to beside those of its addresses and what is below them: names (their \
                    subdomains included), addresses, or blocks such as `10.0.0.0/8`.
                    """),
            ConfigurationKey(
                name: "connect_timeout", shape: .duration(.milliseconds(100) ... .seconds(300), whole: false),
                fallback: .value("5s"), summary: "Longest wait for a connection, TLS included."),
            ConfigurationKey(
                name: "request_timeout", shape: .duration(.milliseconds(100) ... .seconds(600), whole: false),
                fallback: .value("10s"), variables: ["VAULT_CLIENT_TIMEOUT"],
                summary: "Longest wait for a whole answer, connecting included."),
        ])

    static let tls = Section(
        title: "TLS",
        keys: [
            ConfigurationKey(
                name: "ca_cert", shape: .text(.readPath), fallback: .described("the system's certificates"),
                variables: ["VAULT_CACERT"], flag: "--vault-cacert",
                summary: "PEM file of the CA that signed Vault's certificate."),
            ConfigurationKey(
                name: "ca_cert_bytes", shape: .text(.certificates), fallback: .described("none"),
                variables: ["VAULT_CACERT_BYTES"],
                summary: "The same as PEM text, for where there is no file. Counts beside `ca_cert` and `ca_path`."),
            ConfigurationKey(
                name: "ca_path", shape: .text(.readPath), fallback: .described("none"),
                variables: ["VAULT_CAPATH"], flag: "--vault-capath",
                summary: "Directory of CA certificates, prepared by `openssl rehash`."),
            ConfigurationKey(
                name: "client_cert", shape: .text(.readPath), fallback: .described("none"),
                variables: ["VAULT_CLIENT_CERT"], flag: "--vault-client-cert",
                summary:
                    "PEM file of the certificate to show to Vault. Read for each connection, so it may be replaced."
            ),
            ConfigurationKey(
                name: "client_key", shape: .text(.readPath), fallback: .described("none"),
                variables: ["VAULT_CLIENT_KEY"], flag: "--vault-client-key",
                summary: "PEM file of that certificate's key."
            ),
            ConfigurationKey(
                name: "client_key_passphrase_file", shape: .text(.readPath), fallback: .described("none"),
                summary: "File with the passphrase of an encrypted key. A newline at its end does not count."),
            ConfigurationKey(
                name: "server_name", shape: .text(.plain), fallback: .described("the host of the address"),
                variables: ["VAULT_TLS_SERVER_NAME"], flag: "--vault-tls-server-name",
                summary: "Name to expect in Vault's certificate."),
            ConfigurationKey(
                name: "skip_verify", shape: .flag, fallback: .value("false"),
                variables: ["VAULT_SKIP_VERIFY"], flag: "--vault-skip-verify",
                summary:
                    "Take any certificate. For laboratories: whoever is in between gets the login and the token."
            ),
        ])

    static let token = Section(
        title: "A token",
        keys: [
            ConfigurationKey(
                name: "name", shape: .text(.tokenName), fallback: .required,
                summary: "What logs, status and metrics call it. Unique."),
            ConfigurationKey(
                name: "vault", shape: .section(vault), fallback: .keys, inheritsTopLevel: true,
                summary: """
                    Keys that differ from the top-level `vault`, key by key. They stand above flags and environment, \
                    which speak for the top level only.
                    """),
            ConfigurationKey(
                name: "auth", shape: .section(auth), fallback: .required, summary: "How to log in."),
            ConfigurationKey(
                name: "renewal", shape: .section(renewal), fallback: .keys,
                summary: "Choices about the token's life. When to renew is no choice: at 55 to 65 % of the lease."),
            ConfigurationKey(
                name: "revoke_on_stop", shape: .flag, fallback: .value("false"),
                summary: """
                    Revoke the token and remove its sinks when the agent stops. Otherwise both stay, and the next \
                    start takes them over.
                    """),
            ConfigurationKey(
                name: "sinks", shape: .sections(sink), fallback: .required,
                summary: "Where applications find the token."),
            ConfigurationKey(
                name: "on_change", shape: .section(onChange), fallback: .described("nothing"),
                summary: "What to do when the token has been replaced, once all its sinks are written."),
        ])

    static let auth = Section(
        title: "A login",
        keys: [
            ConfigurationKey(
                name: "type", shape: .choice(["iam", "ec2"]), fallback: .required,
                summary: """
                    `iam`: a signed request to AWS STS proves the AWS identity. `ec2`: the instance's identity \
                    document does.
                    """),
            ConfigurationKey(
                name: "mount_path", shape: .text(.mountPath), fallback: .value("auth/aws"),
                summary: "Where the `aws` auth method is mounted, with `auth/`."),
            ConfigurationKey(
                name: "namespace", shape: .text(.namespace), fallback: .described("that of `vault`"),
                summary:
                    "Namespace of the auth mount where it is not that of `vault`. The token belongs to it, and readers are told it "
                    + "unless `vault.namespace` is one below it."),
            ConfigurationKey(
                name: "role", shape: .text(.plain), fallback: .described("chosen by Vault"),
                summary:
                    "Role to log in for. Without it Vault takes the principal's name (`iam`) or the AMI's id (`ec2`)."
            ),
            ConfigurationKey(
                name: "wrap_ttl", shape: .duration(.seconds(1) ... .seconds(86_400), whole: true),
                fallback: .described("not wrapped"),
                summary: "Ask for the login's reply response-wrapped, for so long."),
            ConfigurationKey(
                name: "header_value", shape: .text(.headerValue), fallback: .described("the header is not sent"),
                condition: .init(key: "type", values: ["iam"]),
                summary: "Value of `X-Vault-AWS-IAM-Server-ID`, where the mount asks for one."),
            ConfigurationKey(
                name: "region", shape: .text(.region), fallback: .value("auto"),
                condition: .init(key: "type", values: ["iam"]),
                summary: """
                    Region of the STS that Vault calls, to sign for. `auto`: what worked last, then us-east-1 as Vault's \
                    own clients have it, this machine's, the one that STS names; at most three signatures for one login.
                    """),
            ConfigurationKey(
                name: "sts_endpoint", shape: .text(.endpoint), fallback: .described("that of the region"),
                condition: .init(key: "type", values: ["iam"]),
                summary: "URL of the STS that Vault calls, to sign for. Does not move the agent's own calls to STS."),
            ConfigurationKey(
                name: "expect", shape: .textOrList(.identity), fallback: .described("any identity"),
                condition: .init(key: "type", values: ["iam"]),
                summary: """
                    Account, or ARN of a user or role with `*` and `?`, that the AWS credentials must be of. Any other \
                    identity is refused before the login.
                    """),
            ConfigurationKey(
                name: "on_identity_change", shape: .choice(IdentityPolicy.Change.allCases.map(\.rawValue)),
                fallback: .value("login"), condition: .init(key: "type", values: ["iam"]),
                summary: """
                    When the AWS credentials have become another user's or role's: `login` anew at once, or `keep` the \
                    token until it ends.
                    """),
            ConfigurationKey(
                name: "enable_reauth_on_new_credentials", shape: .flag, fallback: .value("false"),
                condition: .init(key: "type", values: ["iam"]),
                summary: """
                    Log in anew whenever the AWS credentials are others, those of the same role too, as Vault Agent \
                    does with this key. Leases of the old token end with it.
                    """),
            ConfigurationKey(
                name: "identity_document", shape: .choice(EC2Login.Proof.allCases.map(\.rawValue)),
                fallback: .value("rsa2048"), condition: .init(key: "type", values: ["ec2"]),
                summary: """
                    Which proof to send: `rsa2048` or `pkcs7` (the document signed as PKCS#7, the latter with the \
                    older DSA certificate), `identity` (document and signature apart).
                    """),
            ConfigurationKey(
                name: "nonce_file", shape: .text(.readPath),
                fallback: .described("made by the agent, kept in `state_directory`"),
                condition: .init(key: "type", values: ["ec2"]),
                summary:
                    "File with this instance's nonce, 1 to 128 characters. A newline at its end does not count."
            ),
            ConfigurationKey(
                name: "credentials", shape: .section(credentials), fallback: .keys,
                summary:
                    "Where AWS credentials come from. An `ec2` login needs none and may have `imds_v1` only."
            ),
        ])

    static let credentials = Section(
        title: "AWS credentials",
        keys: [
            ConfigurationKey(
                name: "source", shape: .choice(CredentialSource.allCases.map(\.rawValue)), fallback: .value("auto"),
                summary: """
                    `auto` tries the others in this order, as the AWS CLI does, and takes the first that is \
                    configured; one that is configured and broken is an error. Any other value pins that source.
                    """),
            ConfigurationKey(
                name: "profile", shape: .text(.plain), fallback: .described("`$AWS_PROFILE`, else `default`"),
                condition: .init(key: "source", values: ["auto", "assume_role", "web_identity", "profile"]),
                summary: "Profile of the AWS configuration files."),
            ConfigurationKey(
                name: "imds_v1", shape: .flag, fallback: .value("false"),
                condition: .init(key: "source", values: ["auto", "assume_role", "profile", "imds"]),
                summary: "Ask version 1 of the instance metadata service where version 2 is not offered."),
        ])

    static let renewal = Section(
        title: "Renewal",
        keys: [
            ConfigurationKey(
                name: "increment", shape: .duration(.seconds(1)...Duration.seconds(10 * 365 * 86_400), whole: true),
                fallback: .described("what the role gives"), summary: "Lease to ask for at each renewal."),
            ConfigurationKey(
                name: "expired_token", shape: .choice(LifecyclePolicy.Expired.allCases.map(\.rawValue)),
                fallback: .value("keep"),
                summary: "What becomes of an expired token in the sinks while no better one is to be had."),
            ConfigurationKey(
                name: "replaced_token", shape: .choice(["expire", "revoke"]), fallback: .value("expire"),
                summary: """
                    What becomes of the old token after a new login: `expire` lets it live out its lease, since \
                    readers may hold it; `revoke` revokes it after `revoke_grace`.
                    """),
            ConfigurationKey(
                name: "revoke_grace", shape: .duration(.zero ... .seconds(86_400), whole: false),
                fallback: .value("1m"),
                condition: .init(key: "replaced_token", values: ["revoke"]),
                summary: "How long the old token lives on after it was replaced."),
            ConfigurationKey(
                name: "max_backoff", shape: .duration(.seconds(5) ... .seconds(300), whole: false),
                fallback: .value("25s"),
                summary: """
                    Most time between attempts once the token is dead or nearly; never more than 8 % of its lease. More \
                    spares a Vault that thousands of agents come back to, and leaves each without a token for longer.
                    """),
            ConfigurationKey(
                name: "lookup_interval", shape: .duration(.seconds(5) ... .seconds(86_400), whole: false),
                fallback: .described("a tenth of the lease, at most 5m"),
                summary: """
                    Most time between two questions whether the token still lives: so soon a revoked token is noticed. \
                    A renewal shows the same, so nothing is asked when one is due before. More spares Vault requests.
                    """),
        ])

    static let sink = Section(
        title: "A sink",
        keys: [
            ConfigurationKey(
                name: "type", shape: .choice(["file", "socket"]), fallback: .required,
                summary: """
                    `file`: written to a temporary file and renamed, so that a reader sees the old token or the new \
                    one, whole. `socket`: a Unix socket that hands the token to each connection; a source for \
                    systemd's `LoadCredential=`.
                    """),
            ConfigurationKey(
                name: "path", shape: .text(.writePath), fallback: .required,
                summary: "Absolute path. No two sinks share one. Its directory must exist."),
            ConfigurationKey(
                name: "mode", shape: .mode, fallback: .byChoice(key: "type", [("file", "0640"), ("socket", "0660")]),
                summary: "Permissions, octal, in quotes."),
            ConfigurationKey(
                name: "owner", shape: .text(.principal), fallback: .described("the agent's user"),
                summary: "User by name or number. Another than the agent's own takes CAP_CHOWN."),
            ConfigurationKey(
                name: "group", shape: .text(.principal),
                fallback: .described("that of the directory where it has the set-group-ID bit, else the agent's"),
                summary: "Group by name or number. One that the agent's user is not in takes CAP_CHOWN."),
            ConfigurationKey(
                name: "format", shape: .choice(TokenFormat.allCases.map(\.rawValue)), fallback: .value("token"),
                summary: """
                    `token`: the bare token. `json`: with accessor, policies, metadata, lease and times. `env`: \
                    `VAULT_TOKEN=…` and `VAULT_ADDR=…`, for systemd's `EnvironmentFile=`.
                    """),
            ConfigurationKey(
                name: "newline", shape: .flag, fallback: .value("false"),
                condition: .init(key: "format", values: ["token", "env"]), summary: "End the content with a newline."),
            ConfigurationKey(
                name: "wrap_ttl", shape: .duration(.seconds(10) ... .seconds(86_400), whole: true),
                fallback: .described("not wrapped"),
                summary: "Put a single-use wrapping token there, good for so long, and replace it in time."),
            ConfigurationKey(
                name: "dh_type", shape: .choice(["curve25519"]), fallback: .described("not encrypted"),
                summary: "Encrypt the content as Vault Agent does."),
            ConfigurationKey(
                name: "dh_path", shape: .text(.readPath), fallback: .described("required with `dh_type`"),
                condition: .init(key: "dh_type", values: ["curve25519"]),
                summary: "JSON file with the reader's public key."),
            ConfigurationKey(
                name: "aad", shape: .text(.plain), fallback: .described("none"),
                condition: .init(key: "dh_type", values: ["curve25519"]),
                summary: "Text that is authenticated along with the token."),
            ConfigurationKey(
                name: "aad_env_var", shape: .text(.variableName), fallback: .described("none"),
                condition: .init(key: "dh_type", values: ["curve25519"]),
                summary: "Environment variable that holds that text."),
            ConfigurationKey(
                name: "derive_key", shape: .flag, fallback: .value("false"),
                condition: .init(key: "dh_type", values: ["curve25519"]),
                summary: "Derive the key by HKDF-SHA256 instead of taking the shared secret as it is."),
            ConfigurationKey(
                name: "policies", shape: .list(of: .policy), fallback: .described("the login's token itself"),
                summary: "Put a child token with only these policies there."),
            ConfigurationKey(
                name: "allow_users", shape: .list(of: .principal),
                fallback: .described("whoever the mode lets connect"),
                condition: .init(key: "type", values: ["socket"]),
                summary: "Users let through, by name or number, besides root and the agent's own."),
            ConfigurationKey(
                name: "allow_groups", shape: .list(of: .principal),
                fallback: .described("whoever the mode lets connect"),
                condition: .init(key: "type", values: ["socket"]), summary: "Groups let through, by name or number."),
            ConfigurationKey(
                name: "on_change", shape: .section(onChange), fallback: .described("nothing"),
                summary: "What to do when the content of this sink has been replaced."),
        ])

    static let onChange = Section(
        title: "An action",
        keys: [
            ConfigurationKey(
                name: "command", shape: .list(of: .plain), fallback: .described("none"),
                summary: """
                    Program by its absolute path, and its arguments; no shell. The token is not among them. Never \
                    runs twice at once.
                    """),
            ConfigurationKey(
                name: "timeout", shape: .duration(.milliseconds(100) ... .seconds(3_600), whole: false),
                fallback: .value("30s"), summary: "How long the command may take before it is killed."),
            ConfigurationKey(
                name: "signal", shape: .text(.signal), fallback: .described("none"),
                summary: "Signal to send instead of running a command."),
            ConfigurationKey(
                name: "pid_file", shape: .text(.readPath), fallback: .described("required with `signal`"),
                summary: "File with the number of the process to signal."),
        ])

    static let log = Section(
        title: "The log",
        keys: [
            ConfigurationKey(
                name: "level", shape: .choice(HealthSettings.LogLevel.allCases.map(\.rawValue)),
                fallback: .value("info"),
                flag: "--log-level", summary: "Least severe messages to log."),
            ConfigurationKey(
                name: "format", shape: .choice(HealthSettings.LogFormat.allCases.map(\.rawValue)),
                fallback: .value("auto"),
                flag: "--log-format",
                summary:
                    "`auto`: journal fields where standard error is the journal, else text. `json`: a line each."
            ),
        ])

    static let metrics = Section(
        title: "Metrics",
        keys: [
            ConfigurationKey(
                name: "textfile", shape: .text(.writePath), fallback: .described("none"),
                summary: "File for node_exporter's textfile collector; its name ends in `.prom`."),
            ConfigurationKey(
                name: "listen", shape: .text(.listenAddress), fallback: .described("none"),
                summary: """
                    Where to serve `/metrics`, and the probes too unless `probes.listen` says where: a port on loopback, or \
                    `unix:///path`. Another address, such as `0.0.0.0:9112`, opens the pages to whoever reaches it: they \
                    name tokens and sinks, and ask for no password.
                    """),
        ])

    static let probes = Section(
        title: "Probes",
        keys: [
            ConfigurationKey(
                name: "listen", shape: .text(.listenAddress), fallback: .described("where `metrics.listen` says"),
                summary: """
                    Where to serve `/healthz`, `/readyz` and `/readyz/NAME`, as `metrics.listen` does; that serves \
                    `/metrics` alone then.
                    """)
        ])
}
