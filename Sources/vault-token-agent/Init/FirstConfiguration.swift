// The command line, `init`: where the agent runs, who it is there, and the configuration that follows from that.

internal import AWSIdentity
internal import ConfigurationImport
internal import SecretJSON

/// Where the agent runs, as far as that changes its configuration.
enum Place {
    case ec2, ecs, eks, elsewhere

    init(environment: [String: String], onInstance: Bool) {
        func has(_ name: String) -> Bool { !(environment[name] ?? "").isEmpty }
        self =
            if has("ECS_CONTAINER_METADATA_URI_V4") || has("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
                .ecs
            } else if has("KUBERNETES_SERVICE_HOST") {
                .eks
            } else if onInstance {
                .ec2
            } else {
                .elsewhere
            }
    }

    var title: String {
        switch self {
        case .ec2: "EC2"
        case .ecs: "ECS"
        case .eks: "Kubernetes"
        case .elsewhere: "a machine that is none of EC2, ECS and Kubernetes"
        }
    }

    var isContainer: Bool {
        switch self {
        case .ecs, .eks: true
        case .ec2, .elsewhere: false
        }
    }
}

/// An identity as STS tells it.
struct KnownIdentity {
    let arn: String

    private var principal: Principal? { Principal(arn: arn) }

    var roleName: String? {
        guard case .role(let name)? = principal?.name else { return nil }
        return name
    }

    /// What a role of Vault's is bound to. Nil for what is neither role nor user.
    var boundARN: String? {
        guard let principal, let account = principal.account else { return nil }
        let partition = arn.split(separator: ":", omittingEmptySubsequences: false)[1]
        return switch principal.name {
        case .role(let name): "arn:\(partition):iam::\(account):role/\(name)"
        case .user(let name): "arn:\(partition):iam::\(account):user/\(name)"
        case .root, nil: nil
        }
    }
}

struct FirstConfiguration {
    let place: Place
    let address: String
    let role: String
    let headerValue: String?
    /// Nil: not found out.
    let principalARN: String?

    var document: JSONText {
        var vault = ObjectBuilder()
        vault.add(
            "$comment",
            "VAULT_ADDR and its kin stand above this. A private authority: \"tls\": { \"ca_cert\": FILE }.")
        vault.add("address", address)
        var auth = ObjectBuilder()
        auth.add(
            "$comment",
            "role: of Vault's, for this machine's AWS identity. header_value: iam_server_id_header_value of the mount.")
        auth.add("type", "iam")
        auth.add("mount_path", "auth/aws")
        auth.add("role", role)
        auth.add("header_value", headerValue)
        var sink = ObjectBuilder()
        sink.add("$comment", sinkComment)
        sink.add("type", "file")
        sink.add("path", "/run/vault-token-agent/token")
        sink.add("mode", "0640")
        // In a container the volume's group counts; on a machine the package has made this one.
        sink.add("group", place.isContainer ? nil : "vault-token-readers")
        var token = ObjectBuilder()
        token.add("name", "app")
        token.add("auth", auth)
        token.add("sinks", .list([sink.document]))
        var log = ObjectBuilder()
        if place.isContainer { log.add("format", "json") }
        var root = ObjectBuilder()
        root.add("$schema", place.isContainer ? nil : "/usr/share/vault-token-agent/config.schema.json")
        root.add(
            "$comment",
            "Written by vault-token-agent init for \(place.title). docs/configuration.md has every key. "
                + "Try it with: vault-token-agent doctor")
        root.add("vault", vault)
        root.add("log", log)
        // Under systemd the unit names it.
        root.add("state_directory", place.isContainer ? "/var/lib/vault-token-agent" : nil)
        root.add("tokens", .list([token.document]))
        return root.document
    }

    private var sinkComment: String {
        switch place {
        case .ecs: "Applications mount this volume read-only, and read the file whenever they need the token."
        case .eks: "The volume's fsGroup may read it. Applications read it whenever they need the token."
        case .ec2, .elsewhere: "Who is to read it: usermod --append --groups vault-token-readers USER"
        }
    }
}
