// The command line, `init`: what Vault must be told, as commands and for Terraform.

struct VaultsSide {
    private let given: FirstConfiguration

    init(_ given: FirstConfiguration) {
        self.given = given
    }

    var text: String {
        let arn = given.principalARN ?? "arn:aws:iam::ACCOUNT:role/ROLE"
        let client = given.headerValue.map {
            "vault write auth/aws/config/client iam_server_id_header_value=\(word($0))\n"
        }
        let header = given.headerValue.map { "\n  iam_server_id_header_value = \(quoted($0))" }
        return """

            On Vault's side, by its command line (\(client == nil ? "the first" : "the first two") once for a mount):

            vault auth enable aws
            \(client ?? "")vault write auth/aws/role/\(word(given.role)) auth_type=iam bound_iam_principal_arn=\(word(arn)) \\
                token_policies=\(word(given.role)) token_ttl=1h token_max_ttl=24h

            or by Terraform:

            module "vault" {
              source = "./deploy/terraform/modules/vault-auth"\(header ?? "")
              iam_roles = {
                \(quoted(given.role)) = { bound_principal_arns = [\(quoted(arn))], policies = [\(quoted(given.role))] }
              }
            }

            Vault's own AWS identity needs iam:GetRole and iam:GetUser for that; a role with a path is written with its path.
            Then: \(next)
            """
    }

    private var next: String {
        switch given.place {
        case .ec2, .elsewhere: "vault-token-agent doctor, and systemctl enable --now vault-token-agent"
        case .ecs: "put the configuration into the variable VTA_CONFIG of the task: deploy/ecs/README.md"
        case .eks: "put the configuration into the ConfigMap: deploy/kubernetes/README.md"
        }
    }

    /// A word of a shell.
    private func word(_ text: String) -> String {
        let plain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "._-/:@%+=,".utf8.contains(byte)
            }
        }
        return plain && !text.isEmpty
            ? text : "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }

    /// A string of HCL, in which `$` and `%` have a meaning before a brace only, and twice stand for themselves there only.
    private func quoted(_ text: String) -> String {
        let following = text.dropFirst().map(Optional.some) + [nil]
        let escaped = zip(text, following).map { character, next in
            switch character {
            case "\"", "\\": "\\\(character)"
            case "$" where next == "{", "%" where next == "{": "\(character)\(character)"
            default: String(character)
            }
        }
        return "\"" + escaped.joined() + "\""
    }
}
