// The command line: where the configuration is, and the flags that stand above it.

internal import ArgumentParser
internal import Configuration
internal import Diagnosis

struct ConfigurationOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Configuration: a file, a pipe, or - for standard input. Without it the variable "
                + "\(ConfigurationSource.variable), else \(ConfigurationSource.defaultPath).",
            valueName: "file"), completion: .file(extensions: ["json"]))
    var config: String?

    @Option(help: ArgumentHelp("Vault's URL; above VAULT_ADDR and vault.address.", valueName: "url"))
    var vaultAddr: String?

    @Option(help: ArgumentHelp("Vault's namespace; above VAULT_NAMESPACE.", valueName: "namespace"))
    var vaultNamespace: String?

    @Option(help: ArgumentHelp("PEM file of Vault's CA; above VAULT_CACERT.", valueName: "file"), completion: .file())
    var vaultCacert: String?

    @Option(help: ArgumentHelp("Directory of CAs; above VAULT_CAPATH.", valueName: "dir"), completion: .directory)
    var vaultCapath: String?

    @Option(
        help: ArgumentHelp("PEM client certificate; above VAULT_CLIENT_CERT.", valueName: "file"), completion: .file())
    var vaultClientCert: String?

    @Option(help: ArgumentHelp("PEM key of it; above VAULT_CLIENT_KEY.", valueName: "file"), completion: .file())
    var vaultClientKey: String?

    @Option(help: ArgumentHelp("Name in Vault's certificate; above VAULT_TLS_SERVER_NAME.", valueName: "name"))
    var vaultTlsServerName: String?

    @Flag(help: "Take any certificate of Vault's; above VAULT_SKIP_VERIFY.")
    var vaultSkipVerify = false

    @Option(help: ArgumentHelp("debug, info, warning or error; above log.level.", valueName: "level"))
    var logLevel: String?

    @Option(help: ArgumentHelp("auto, journal, json or text; above log.format.", valueName: "format"))
    var logFormat: String?

    var overrides: ConfigurationOverrides {
        var overrides = ConfigurationOverrides()
        overrides.set("vault.address", vaultAddr)
        overrides.set("vault.namespace", vaultNamespace)
        overrides.set("vault.tls.ca_cert", vaultCacert)
        overrides.set("vault.tls.ca_path", vaultCapath)
        overrides.set("vault.tls.client_cert", vaultClientCert)
        overrides.set("vault.tls.client_key", vaultClientKey)
        overrides.set("vault.tls.server_name", vaultTlsServerName)
        overrides.set("vault.tls.skip_verify", vaultSkipVerify ? "true" : nil)
        overrides.set("log.level", logLevel)
        overrides.set("log.format", logFormat)
        return overrides
    }

    /// Whether any of them was given.
    var isGiven: Bool {
        config != nil || !overrides.values.isEmpty
    }

    var source: ConfigurationSource {
        ConfigurationSource(option: config, environment: processEnvironment)
    }

    func load() throws(AgentError) -> LoadedConfiguration {
        try ConfigurationLoader.load(source, environment: processEnvironment, overrides: overrides)
    }
}
