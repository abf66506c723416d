// Vault Agent's and OpenBao Agent's configurations in the shapes in which they are published, and what becomes of them.

import Configuration
import ConfigurationImport
import Diagnosis
import SecretJSON
import Testing

/// The import of a text; throws what the command would say.
private func imported(_ text: String) throws -> ImportedConfiguration {
    try ImportedConfiguration(SourceText(path: "agent.hcl", bytes: Array(text.utf8)))
}

/// The complaints of this agent's own loader; empty: it would run by it.
private func complaints(_ imported: ImportedConfiguration) -> [String] {
    let source = SourceText(path: "config.json", bytes: Array(imported.document.laidOut.utf8))
    let unit = ["VAULT_ADDR": "https://vault:8200", "STATE_DIRECTORY": "/var/lib/vault-token-agent"]
    return switch ConfigurationLoader.examine(source, environment: unit) {
    case .usable: []
    case .unusable(let errors): errors.map(\.description)
    }
}

private let wholeHCL = """
    # What a platform team has had for years
    pid_file = "/run/vault-agent.pid"
    exit_after_auth = false
    log_level = "warn"
    vault {
      address = "https://vault.example.com:8200"
      ca_cert = "/etc/vault/ca.pem"
      client_cert = "/etc/vault/client.pem"
      client_key = "/etc/vault/client.key"
      tls_server_name = "vault"
      namespace = "org/"
      retry { num_retries = 5 }
    }
    auto_auth {
      method "aws" {
        mount_path = "auth/aws-subaccount"
        namespace  = "team/"
        wrap_ttl   = "5m"
        max_backoff = "2m"
        min_backoff = "1s"
        config = {
          type = "iam"
          role = "orders-api"
          region = "eu-central-1"
          header_value = "vault.example.com"
          access_key = "AKIAIOSFODNN7EXAMPLE"
          secret_key = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
          credential_poll_interval = 60
        }
      }
      sink "file" {
        config = { path = "/run/app/token", mode = 0640, owner = 1000, group = "1001" }
      }
      sink {
        type = "file"
        wrap_ttl = 300
        dh_type = "curve25519"
        dh_path = "/run/app/reader.json"
        aad_env_var = "READER"
        derive_key = true
        config { path = "/run/app/wrapped" }
      }
    }
    cache { persist "kubernetes" { path = "/vault/agent-cache/" } }
    listener "tcp" { address = "127.0.0.1:8100" tls_disable = true }
    template {
      contents = <<-EOT
        {{ with secret "secret/data/app" }}{{ .Data.data.password }}{{ end }}
      EOT
      destination = "/run/app/password"
    }
    """

@Suite struct TranslationTests {
    @Test func `everything that has a counterpart is carried over`() throws {
        let result = try imported(wholeHCL)
        #expect(
            result.document.laidOut == """
                {
                  "vault": {
                    "address": "https://vault.example.com:8200",
                    "namespace": "org",
                    "tls": {
                      "ca_cert": "/etc/vault/ca.pem",
                      "client_cert": "/etc/vault/client.pem",
                      "client_key": "/etc/vault/client.key",
                      "server_name": "vault"
                    }
                  },
                  "log": {
                    "level": "warning"
                  },
                  "state_directory": "/vault/agent-cache/",
                  "tokens": [
                    {
                      "name": "orders-api",
                      "auth": {
                        "type": "iam",
                        "mount_path": "auth/aws-subaccount",
                        "namespace": "team",
                        "role": "orders-api",
                        "header_value": "vault.example.com",
                        "region": "eu-central-1"
                      },
                      "renewal": {
                        "max_backoff": "2m"
                      },
                      "sinks": [
                        {
                          "type": "file",
                          "path": "/run/app/token",
                          "mode": "0640",
                          "owner": "1000",
                          "group": "1001",
                          "wrap_ttl": "5m",
                          "format": "json"
                        },
                        {
                          "type": "file",
                          "path": "/run/app/wrapped",
                          "wrap_ttl": "300s",
                          "format": "json",
                          "dh_type": "curve25519",
                          "dh_path": "/run/app/reader.json",
                          "aad_env_var": "READER",
                          "derive_key": true
                        }
                      ]
                    }
                  ]
                }

                """)
        #expect(complaints(result).allSatisfy { $0.contains("aad_env_var") }, "the variable is not set here")
    }

    @Test func `everything that has none is listed once, with its place and why, and no secret`() throws {
        let remarks = try imported(wholeHCL).remarks
        let listed = remarks.map { $0.split(separator: ": ")[1] }
        #expect(
            listed == [
                "pid_file", "vault.retry", "auto_auth.method.wrap_ttl", "auto_auth.method.min_backoff",
                "auto_auth.method.config.access_key",
                "auto_auth.method.config.secret_key", "auto_auth.method.config.credential_poll_interval", "listener",
                "template",
            ])
        #expect(remarks[0].hasPrefix("agent.hcl:2:1: pid_file: "))
        #expect(!remarks.joined().contains("AKIA") && !remarks.joined().contains("wJalr"))
        #expect(try !imported(wholeHCL).document.laidOut.contains("AKIA"))
    }

    @Test(arguments: [
        // The label as a key around the block, repeated blocks as a list
        """
        {"vault": {"address": "https://vault:8200"}, "auto_auth": {"method": {"aws": {"mount_path": "auth/aws", "config": \
        {"type": "iam", "role": "app", "region": ""}}}, "sink": [{"file": {"config": {"path": "/run/a"}}}, {"type": "file", \
        "config": {"path": "/run/b"}}]}}
        """,
        // Everything that can be a list is one
        """
        {"vault": [{"address": "https://vault:8200"}], "auto_auth": [{"method": [{"type": "aws", "mount_path": "aws", \
        "config": [{"type": "iam", "role": "app", "region": ""}]}], "sinks": [{"sink": [{"file": [{"config": {"path": \
        "/run/a"}}]}, {"file": {"config": {"path": "/run/b"}}}]}]}]}
        """,
        // HCL with one-line blocks, quoted keys, commas, and both ways to comment
        """
        "vault" { address = "https://vault:8200" } // here
        auto_auth { method { type = "aws", mount_path = "auth/aws/", /* and
        there */ config { "type" = "iam", role = "app", region = "" } }
        sink "file" { config { path = "/run/a" } } sink "file" { config = { path = "/run/b", }, } }
        """,
    ])
    func `all ways to write the same are the same`(text: String) throws {
        let result = try imported(text)
        #expect(result.remarks.isEmpty)
        #expect(complaints(result).isEmpty)
        #expect(
            result.document.laidOut == """
                {
                  "vault": {
                    "address": "https://vault:8200"
                  },
                  "tokens": [
                    {
                      "name": "app",
                      "auth": {
                        "type": "iam",
                        "mount_path": "auth/aws",
                        "role": "app"
                      },
                      "sinks": [
                        {
                          "type": "file",
                          "path": "/run/a"
                        },
                        {
                          "type": "file",
                          "path": "/run/b"
                        }
                      ]
                    }
                  ]
                }

                """)
    }

    /// One `auto_auth` with this in the method's config and the sink.
    private func small(config: String = "", sink: String = "", method: String = "", root: String = "") -> String {
        """
        auto_auth { method "aws" { config = { type = "iam"\nrole = "app"\nregion = "eu-west-1"\n\(config) }\n\(method) }
        sink "file" { config = { path = "/run/t" \(sink) } } }\n\(root)
        """
    }

    @Test(arguments: [
        (", mode = 0640", "0640"), (", mode = 416", "0640"), (", mode = \"0600\"", "0600"),
        (", mode = 0x1a0", "0640"),
    ])
    func `a mode is octal where HCL says so`(sink: String, mode: String) throws {
        let result = try imported(small(sink: sink))
        #expect(result.document.laidOut.contains("\"mode\": \"\(mode)\""))
        #expect(result.remarks.isEmpty)
    }

    @Test(arguments: ["0", "0000", "\"0000\"", "0x0"])
    func `a mode of 0 keeps no reader out`(mode: String) throws {
        let result = try imported(small(sink: ", mode = \(mode)"))
        #expect(!result.document.laidOut.contains("mode\""))
        #expect(result.remarks.count == 1 && result.remarks[0].contains("the default of 0640 holds"))
    }

    @Test(
        arguments: [
            ("300", "300s", 0), ("\"5m\"", "5m", 0), ("\"0.5h\"", "1800s", 0), ("\"1h30.5s\"", "3631s", 0),
            ("\"30s1m\"", "90s", 0), ("\"1.5s\"", "10s", 1), ("\"25h\"", "24h", 1),
        ] as [(String, String, Int)])
    func `a sink that was wrapped stays wrapped`(given: String, expected: String, remarks: Int) throws {
        let wrapped = "\"wrap_ttl\": \"\(expected)\""
        let own = try imported(small(sink: ", wrap_ttl = \(given)"))
        #expect(own.document.laidOut.contains(wrapped) && own.remarks.count == remarks)
        // The method's counts for every sink, and is told.
        let ofAll = try imported(small(method: "wrap_ttl = \(given)"))
        #expect(ofAll.document.laidOut.contains(wrapped) && ofAll.document.laidOut.contains("\"format\": \"json\""))
        #expect(ofAll.remarks.count == remarks + 1)
        #expect(complaints(ofAll).isEmpty)
    }

    @Test(arguments: ["\"soon\"", "\"1h.\"", "\"-5m\"", "\"5\u{2d}m\"", "\"1e9h\"", "\"200000h\"", "[]", "true"])
    func `a sink whose wrapping cannot be read is not written down bare`(given: String) {
        for text in [small(sink: ", wrap_ttl = \(given)"), small(method: "wrap_ttl = \(given)")] {
            let error = #expect(throws: AgentError.self) { try imported(text) }
            #expect(error?.code == .configurationInvalid)
            #expect("\(error as Any)".contains("wrap_ttl is not a duration"))
        }
    }

    @Test func `a sink's own wrapping counts before the method's, and 0 is none`() throws {
        let both = try imported(small(sink: ", wrap_ttl = 60", method: "wrap_ttl = 120")).document.laidOut
        #expect(both.contains("\"wrap_ttl\": \"60s\"") && !both.contains("120s"))
        let none = try imported(small(sink: ", wrap_ttl = 0", method: "wrap_ttl = \"0s\"")).document.laidOut
        #expect(!none.contains("wrap"))
    }

    @Test func `a mode that JSON made another one is left out and told`() throws {
        let text = """
            {"auto_auth": {"method": {"type": "aws", "config": {"type": "iam", "role": "app", "region": "eu-west-1"}},
            "sink": {"type": "file", "config": {"path": "/run/t", "mode": 640}}}}
            """
        let result = try imported(text)
        #expect(!result.document.laidOut.contains("mode\""))
        #expect(result.remarks.count == 1 && result.remarks[0].contains("640 is mode 01200"))
    }

    @Test(
        arguments: [
            ("", "us-east-1"), ("region = \"\"", nil), ("region = \"eu-west-1\"", "eu-west-1"),
        ] as [(String, String?)])
    func `a region that Vault Agent would sign for is written down`(region: String, expected: String?) throws {
        let text = """
            auto_auth { method "aws" { config = { type = "iam"\nrole = "app"\n\(region) } }
            sink "file" { config = { path = "/run/t" } } }
            """
        let result = try imported(text)
        #expect(result.document.laidOut.contains("\"region\"") == (expected != nil))
        if let expected { #expect(result.document.laidOut.contains("\"region\": \"\(expected)\"")) }
        #expect(complaints(result).isEmpty)
    }

    @Test func `an ec2 login has no region, and its nonce is not copied`() throws {
        let text = """
            auto_auth { method "aws" { config = { type = "ec2" role = "app" nonce = "s3cret-nonce" } }
            sink "file" { config = { path = "/run/t" } } }
            """
        let result = try imported(text)
        #expect(complaints(result).isEmpty)
        #expect(!(result.document.laidOut + result.remarks.joined()).contains("s3cret"))
        #expect(result.remarks.count == 1 && result.remarks[0].contains("nonce_file"))
    }

    @Test(arguments: [
        ("max_backoff = \"10m\"", "5m"), ("max_backoff = \"1s\"", "5s"), ("max_backoff = 60", "60s"),
    ])
    func `a pause out of range becomes the nearest`(method: String, expected: String) throws {
        let result = try imported(small(method: method))
        #expect(result.document.laidOut.contains("\"max_backoff\": \"\(expected)\""))
        #expect(result.remarks.count == (expected == "60s" ? 0 : 1))
        #expect(complaints(result).isEmpty)
    }

    @Test func `relative paths and a missing sink are made good, and told`() throws {
        let relative = try imported(
            "auto_auth { method \"aws\" { config = { type = \"iam\" region = \"\" } } sink \"file\" { config = { path = \"./token\" } } }"
        )
        #expect(relative.document.laidOut.contains("\"path\": \"/run/vault-token-agent/token\""))
        #expect(relative.remarks.count == 1)
        let none = try imported("auto_auth { method \"aws\" { config = { type = \"iam\" region = \"\" } } }")
        #expect(none.document.laidOut.contains("\"path\": \"/run/vault-token-agent/token\""))
        #expect(complaints(none).isEmpty && none.remarks.count == 1)
    }

    @Test func `a new login for new credentials is carried over from both places`() throws {
        let inConfig = try imported(small(config: "enable_reauth_on_new_credentials = true"))
        let above = try imported(
            "auto_auth { enable_reauth_on_new_credentials = true" + small().dropFirst("auto_auth {".count))
        for result in [inConfig, above] {
            #expect(result.document.laidOut.contains("\"enable_reauth_on_new_credentials\": true"))
            #expect(result.remarks.isEmpty && complaints(result).isEmpty)
        }
    }

    @Test func `OpenBao's names of owner and group are taken`() throws {
        let json = try imported(small(sink: ", uid = 1000, gid = 1001")).document.laidOut
        #expect(json.contains("\"owner\": \"1000\"") && json.contains("\"group\": \"1001\""))
    }

    @Test(arguments: [
        ("vault { address = \"x\" }", "there is no auto_auth: this agent has nothing to keep"),
        ("auto_auth { sink \"file\" {} }", "auto_auth has no method"),
        ("auto_auth { method \"kubernetes\" { config = { role = \"x\" } } }", "the method is kubernetes"),
        ("auto_auth { method { config = { role = \"x\" } } }", "the method is not named"),
        ("auto_auth { method \"aws\" {} method \"aws\" {} }", "a second method"),
        ("auto_auth {} auto_auth {}", "a second auto_auth"), ("auto_auth = 3", "auto_auth is not a block"),
    ])
    func `what this agent cannot do is refused in one line with its place`(text: String, complaint: String) {
        let error = #expect(throws: AgentError.self) { try imported(text) }
        #expect(error?.code == .configurationInvalid)
        #expect(error?.observed.hasPrefix("agent.hcl:1:") == true)
        #expect(error?.observed.hasSuffix(complaint) == true, "\(error?.observed ?? "")")
    }

    @Test func `keys that nobody knows are listed as that`() throws {
        let result = try imported(small(config: "rolle = \"x\"", root: "autoauth { }"))
        #expect(result.remarks.map { $0.contains("not a key that is known") } == [true, true])
    }

    @Test func `controls and reorderings in keys and values reach no terminal`() throws {
        let text = small(
            config: "\"a\u{1b}[2J\u{202e}\" = 1", sink: ", path = \"\u{9b}2J\u{202e}\"",
            method: "namespace = \"n\u{202e}\"")
        let result = try imported(text)
        let all = result.remarks.joined()
        #expect(!all.unicodeScalars.contains { $0.properties.generalCategory == .control || $0.value == 0x202e })
    }
}
