// What a configuration that cannot work is answered with: one line that says where, what was found, what was expected.

import CLinux
import Diagnosis
import Glibc
import Testing

@testable import Configuration

/// A mistake, and the whole line that it must cause. A ‸ in the text marks the place that the line must name.
private struct Mistake: CustomTestStringConvertible, Sendable {
    let name: String
    let text: String
    let complaint: String

    init(_ name: String, _ marked: String, _ complaint: String) {
        self.name = name
        var (text, line, column) = ("", 1, 1)
        var place: String?
        for character in marked {
            if character == "‸" {
                place = "\(line):\(column): "
                continue
            }
            text.append(character)
            (line, column) = character == "\n" ? (line + 1, 1) : (line, column + 1)
        }
        self.text = text
        self.complaint = "config.json:" + (place ?? " ") + complaint
    }

    var testDescription: String { name }
}

private let mistakes: [Mistake] = [
    // Not JSON
    Mistake("empty file", "‸", "found the end of the file, expected a value"),
    Mistake(
        "Vault Agent's HCL", "‸vault {\n}",
        "found vault, expected a value. The file is JSON, in braces; Vault Agent's HCL is not read"),
    Mistake(
        "comment", "{\n  ‸# none\n}", "found #, expected a key in double quotes or }. JSON has no comments"),
    Mistake(
        "trailing comma", "{ \"log\": {},\n‸}",
        "found }, expected a key in double quotes. Take away the comma before it"),
    Mistake("missing comma", "{ \"a\": 1 ‸\"b\": 2 }", "found \", expected a comma or }"),
    Mistake("no colon", "{ \"a\" ‸1 }", "found 1, expected a colon after the key"),
    Mistake(
        "single quotes", "{ ‸'a': 1 }",
        "found ', expected a key in double quotes or }. JSON wants double quotes"),
    Mistake("cut off", "{ \"a\": ‸\"b", "a string that begins here never ends"),
    Mistake(
        "string over two lines", "{ \"a\": \"b‸\n\" }",
        "found the end of the line, expected the string to end on its line. "
            + "Close it with \", or write \\n or \\t"),
    Mistake("trailing garbage", "{}\n‸{}", "found {, expected nothing after the end of the value"),
    Mistake(
        "unknown escape", "[\"‸\\x\"]",
        #"an escape that JSON does not have. It has \" \\ \/ \b \f \n \r \t and \u with four hexadecimal digits"#),
    Mistake("half a surrogate pair", #"["‸\uD800x"]"#, "half of a surrogate pair"),
    Mistake(
        "octal number", "{ \"mode\": ‸0640 }",
        "found a number with a leading zero, expected none. "
            + "JSON has no octal numbers; put a file mode in quotes: \"0640\""),
    Mistake(
        "too deep", String(repeating: "[", count: 32) + "‸" + String(repeating: "[", count: 100_000),
        "more than 32 objects and lists inside one another"),
    Mistake("not an object", "‸[]", "found a list, expected an object. The file is written in braces"),

    // Keys
    Mistake(
        "misspelt key", minimal(root: #", ‸"vualt": {}"#),
        #"vualt: unknown key. Did you mean "vault"?"#),
    Mistake(
        "hyphen for underscore", minimal(auth: #", ‸"mount-path": "auth/aws""#),
        #"tokens[0].auth.mount-path: unknown key. Did you mean "mount_path"?"#),
    Mistake(
        "key in the wrong place", minimal(vault: #", ‸"ca_cert": "/x""#),
        #"vault.ca_cert: unknown key. The key stands elsewhere: vault.tls.ca_cert, tokens[].vault.tls.ca_cert"#),
    Mistake(
        "key from nowhere", minimal(token: #", ‸"xyzzy": 1"#),
        #"tokens[0].xyzzy: unknown key. A token has the keys name, vault, auth, renewal, revoke_on_stop, sinks, on_change"#
    ),
    Mistake(
        "key that is no word", minimal(root: #", ‸"a \u0007b": {}"#),
        "[\"a \\x07b\"]: unknown key. The file has the keys vault, tokens, state_directory, reload_on_change, confine_to, log, status_file, metrics, probes"
    ),
    Mistake(
        "nonce in the file", minimal(auth: #", ‸"nonce": "s3cr3t""#, type: "ec2"),
        #"tokens[0].auth.nonce: unknown key. A nonce is a secret: put it into a file and name that by "nonce_file", or leave it to the agent"#
    ),
    Mistake(
        "AWS keys in the file", minimal(auth: #", ‸"secret_key": "s3cr3t""#),
        #"tokens[0].auth.secret_key: unknown key. AWS keys do not belong here: the agent finds them as the AWS CLI does, see "credentials""#
    ),
    Mistake(
        "Vault Agent's auto_auth", minimal(root: #", ‸"auto_auth": {}"#),
        #"auto_auth: unknown key. Write "tokens": see docs/migrating-from-vault-agent.md"#),
    Mistake(
        "comment that is no string", minimal(auth: #", "$comment": ‸["a"]"#),
        "tokens[0].auth.$comment: found a list, expected a string. A comment is text in quotes"),
    Mistake(
        "key given twice", minimal(root: ",\n  \"log\": {},\n  ‸\"log\": {}"),
        "log: given twice, first in line 6. Keep one of them"),
    Mistake(
        "missing name",
        #"{ "vault": {"address": "https://v"}, "tokens": [ ‸{ "auth": {"type": "iam"}, "sinks": [{"type": "file", "path": "/x"}] } ] }"#,
        "tokens[0].name: missing, expected a name of 1 to 64 letters, digits, dots, hyphens and underscores"),
    Mistake(
        "missing address",
        #"{ "tokens": [ { "name": "a", "auth": {"type": "iam"}, "sinks": [{"type": "file", "path": "/x"}] } ] }"#,
        #"vault.address: missing, expected a URL such as "https://vault.example.com:8200". Set it here, by VAULT_ADDR or by --vault-addr"#
    ),
    Mistake(
        "no tokens", #"{ "vault": {"address": "https://v"}, "tokens": ‸[] }"#,
        "tokens: the list is empty, expected at least one element"),

    // Types
    Mistake(
        "mode as a number", minimal(sink: #", "mode": ‸640"#),
        #"tokens[0].sinks[0].mode: found the number 640, expected a file mode as a string of octal digits, such as "0640". JSON reads numbers as decimal, here mode 01200. Write "0640""#
    ),
    Mistake(
        "mode as a large number", minimal(sink: #", "mode": ‸100644"#),
        #"tokens[0].sinks[0].mode: found the number 100644, expected a file mode as a string of octal digits, such as "0640". JSON reads numbers as decimal, here mode 0304444. Write "0640""#
    ),
    Mistake(
        "mode with a nine", minimal(sink: #", "mode": ‸"0649""#),
        #"tokens[0].sinks[0].mode: found "0649", expected three octal digits, such as "0640". Set-user, set-group and sticky bits are not taken"#
    ),
    Mistake(
        "mode for everybody to write", minimal(sink: #", "mode": ‸"0666""#),
        #"tokens[0].sinks[0].mode: mode "0666" lets everybody write the token, expected one that does not"#),
    Mistake(
        "duration as a number", minimal(vault: #", "request_timeout": ‸10"#),
        #"vault.request_timeout: found the number 10, expected a duration in quotes, such as "30s", "5m" or "1h30m". A number does not say its unit. Write "10s" for seconds"#
    ),
    Mistake(
        "duration without unit", minimal(vault: #", "request_timeout": ‸"10""#),
        #"vault.request_timeout: found "10", expected a duration such as "30s", "5m" or "1h30m". Whole numbers, each with a unit: ms, s, m, h, d, the largest first"#
    ),
    Mistake(
        "duration out of range", minimal(vault: #", "request_timeout": ‸"1h""#),
        #"vault.request_timeout: found "1h", expected 100ms to 10m"#),
    Mistake(
        "milliseconds for Vault", minimal(sink: #", "wrap_ttl": ‸"10500ms""#),
        #"tokens[0].sinks[0].wrap_ttl: found "10500ms", expected whole seconds. Vault counts it in seconds"#),
    Mistake(
        "boolean in quotes", minimal(token: #", "revoke_on_stop": ‸"true""#),
        #"tokens[0].revoke_on_stop: found a string, expected true or false. Take the quotes away"#),
    Mistake(
        "null for a default", minimal(auth: #", "role": ‸null"#),
        #"tokens[0].auth.role: found null, expected a string. Leave the key out to have its default"#),
    Mistake(
        "one sink without brackets",
        #"{ "vault": {"address": "https://v"}, "tokens": [ { "name": "a", "auth": {"type": "iam"}, "sinks": ‸{"type": "file", "path": "/x"} } ] }"#,
        "tokens[0].sinks: found an object, expected a list. Put it in brackets, even where there is only one"
    ),
    Mistake(
        "unknown choice", minimal(auth: #", "credentials": { "source": ‸"instance" }"#),
        #"tokens[0].auth.credentials.source: found "instance", expected one of "auto", "environment", "assume_role", "web_identity", "profile", "container", "imds""#
    ),
    Mistake(
        "misspelt choice", minimal(sink: #", "format": ‸"jsn""#),
        #"tokens[0].sinks[0].format: found "jsn", expected one of "token", "json", "env". Did you mean "json"?"#
    ),

    // Values
    Mistake(
        "address without scheme",
        #"{ "vault": {"address": ‸"vault:8200"} , "tokens": [ { "name": "a", "auth": {"type": "iam"}, "sinks": [{"type": "file", "path": "/x"}] } ] }"#,
        #"vault.address: "vault:8200" has no scheme, expected a URL such as "https://vault.example.com:8200". Write "https://vault:8200""#
    ),
    Mistake(
        "mount path without auth", minimal(auth: #", "mount_path": ‸"aws""#),
        #"tokens[0].auth.mount_path: "aws" does not begin with auth/, expected a path such as "auth/aws". Write "auth/aws""#
    ),
    Mistake(
        "mount path with v1", minimal(auth: #", "mount_path": ‸"/v1/auth/aws""#),
        #"tokens[0].auth.mount_path: "/v1/auth/aws" begins with v1/, expected a path such as "auth/aws". Write "auth/aws""#
    ),
    Mistake(
        "header that splits", minimal(auth: #", "header_value": ‸"a\r\nb""#),
        "tokens[0].auth.header_value: \"a\\r\\nb\" holds a control character, expected a string of printable ASCII"
    ),
    Mistake(
        "relative sink", minimal().replacing("\"/run/app/token\"", by: "‸\"token\""),
        #"tokens[0].sinks[0].path: "token" is not an absolute path, expected an absolute path"#),
    Mistake(
        "sink by ..", minimal().replacing("\"/run/app/token\"", by: "‸\"/run/../token\""),
        #"tokens[0].sinks[0].path: "/run/../token" goes by . or .., expected an absolute path. Write the path that is meant"#
    ),
    Mistake(
        "credentials directory not set", minimal(vault: #", "tls": { "ca_cert": ‸"$CREDENTIALS_DIRECTORY/ca" }"#),
        #"vault.tls.ca_cert: "$CREDENTIALS_DIRECTORY/ca" needs CREDENTIALS_DIRECTORY, which is not set, expected an absolute path, or one that begins with $CREDENTIALS_DIRECTORY/. systemd sets it for a unit that has LoadCredential="#
    ),
    Mistake(
        "metrics at a name", minimal(root: #", "metrics": { "listen": ‸"agent.example.com:9112" }"#),
        #"metrics.listen: "agent.example.com:9112" is not an address in figures with a port, nor a socket, expected "127.0.0.1:PORT", "[::1]:PORT" or "unix:///PATH". "0.0.0.0:PORT" is open to whoever reaches this machine"#
    ),

    // Contradictions
    Mistake(
        "iam's key with ec2",
        minimal(root: #", "state_directory": "/s""#, auth: #", "header_value": ‸"x""#, type: "ec2"),
        #"tokens[0].auth.header_value: counts only with "type" "iam", which is "ec2". Take one of them out"#),
    Mistake(
        "ec2's key with iam", minimal(auth: #", "nonce_file": ‸"/n""#),
        #"tokens[0].auth.nonce_file: counts only with "type" "ec2", which is "iam". Take one of them out"#),
    Mistake(
        "ec2 without a place for the nonce", minimal(type: "ec2").replacing("\"ec2\"", by: "‸\"ec2\""),
        "tokens[0].auth.type: an ec2 login has no place for its nonce. Set state_directory (or StateDirectory= in the unit) or nonce_file: without its nonce this instance can log in once only"
    ),
    Mistake(
        "credentials with ec2",
        minimal(root: #", "state_directory": "/s""#, auth: #", "credentials": { "source": ‸"imds" }"#, type: "ec2"),
        #"tokens[0].auth.credentials.source: counts only with "type" "iam", which is "ec2". Take one of them out"#
    ),
    Mistake(
        "profile with another source", minimal(auth: #", "credentials": { "source": "imds", "profile": ‸"p" }"#),
        #"tokens[0].auth.credentials.profile: counts only with "source" "auto" or "assume_role" or "web_identity" or "profile", which is "imds". Take one of them out"#
    ),
    Mistake(
        "grace without revocation", minimal(token: #", "renewal": { "revoke_grace": ‸"1m" }"#),
        #"tokens[0].renewal.revoke_grace: counts only with "replaced_token" "revoke", which is "expire". Take one of them out"#
    ),
    Mistake(
        "certificate without key", minimal(vault: #", "tls": { "client_cert": ‸"/c" }"#),
        #"vault.tls.client_cert: given without "client_key". Give both; one PEM file may hold certificate and key"#
    ),
    Mistake(
        "socket's key on a file", minimal(sink: #", "allow_users": ‸["app"]"#),
        #"tokens[0].sinks[0].allow_users: counts only with "type" "socket", which is "file". Take one of them out"#
    ),
    Mistake(
        "encryption without key file", minimal(sink: #", "dh_type": ‸"curve25519""#),
        #"tokens[0].sinks[0].dh_path: missing, expected an absolute path. "dh_type" wants the file with the reader's public key"#
    ),
    Mistake(
        "unset variable for aad",
        minimal(sink: #", "dh_type": "curve25519", "dh_path": "/d", "aad_env_var": ‸"AAD""#),
        "tokens[0].sinks[0].aad_env_var: the environment variable AAD is not set. Set it in the agent's environment"
    ),
    Mistake(
        "command and signal", minimal(token: #", "on_change": { "command": ‸["/bin/x"], "signal": "HUP" }"#),
        #"tokens[0].on_change.command: given along with "signal" or "pid_file". Run a command or send a signal, not both"#
    ),
    Mistake(
        "command by name", minimal(token: #", "on_change": { "command": ‸["nginx"] }"#),
        #"tokens[0].on_change.command: "nginx" is not an absolute path. Name the program by its whole path"#),
    Mistake(
        "signal that kills", minimal(token: #", "on_change": { "signal": ‸"KILL", "pid_file": "/p" }"#),
        #"tokens[0].on_change.signal: "KILL" is not a signal that the agent sends, expected one of "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTERM", "SIGCONT", "SIGWINCH""#
    ),
    Mistake(
        "status on a sink's path",
        minimal(root: #", "status_file": "/run/app/token""#).replacing("\"path\": ", by: "\"path\": ‸"),
        #"tokens[0].sinks[0].path: "/run/app/token" is the path of status_file too. Give each its own path"#),
    Mistake(
        "status's lock on a sink's path",
        minimal(root: #", "status_file": "/run/app/s""#).replacing("/run/app/token", by: "/run/app/s.lock")
            .replacing("\"path\": ", by: "\"path\": ‸"),
        #"tokens[0].sinks[0].path: "/run/app/s.lock" is the path of the lock of status_file too. Give each its own path"#
    ),
    Mistake(
        "the reader's key on the sink's own path",
        minimal(sink: #", "dh_type": "curve25519", "dh_path": ‸"/run/app/token""#),
        #"tokens[0].sinks[0].dh_path: "/run/app/token" is the path of tokens[0].sinks[0].path too. Give each its own path"#
    ),
    Mistake(
        "certificates on a sink's path",
        minimal(vault: #", "tls": { "ca_cert": "/run/app/token" }"#).replacing("\"path\": ", by: "\"path\": ‸"),
        #"tokens[0].sinks[0].path: "/run/app/token" is the path of vault.tls.ca_cert too. Give each its own path"#),
    Mistake(
        "the nonce on a sink's path",
        minimal(auth: #", "nonce_file": "/run/app/token""#, type: "ec2").replacing("\"path\": ", by: "\"path\": ‸"),
        #"tokens[0].sinks[0].path: "/run/app/token" is the path of tokens[0].auth.nonce_file too. Give each its own path"#
    ),
    Mistake(
        "the nonce where it may not be written",
        minimal(root: #", "confine_to": ["/run"]"#, auth: #", "nonce_file": ‸"/etc/nonce""#, type: "ec2"),
        #"tokens[0].auth.nonce_file: "/etc/nonce" is not below /run, where confine_to lets the agent write. List its directory, or one above it, in confine_to"#
    ),
    Mistake(
        "time-outs the wrong way round", minimal(vault: #", "connect_timeout": ‸"30s""#),
        "vault.connect_timeout: 30s is longer than request_timeout, 10s. The whole request includes connecting: raise request_timeout"
    ),
]

extension String {
    /// The same text with another part.
    fileprivate func replacing(_ part: String, by other: String) -> String {
        split(separator: part, omittingEmptySubsequences: false).joined(separator: other)
    }
}

@Suite("A configuration that cannot work")
struct ComplaintTests {
    @Test("A mistake is answered by one line with place, finding, expectation and remedy", arguments: mistakes)
    private func oneLine(_ mistake: Mistake) {
        let complaints = examine(mistake.text).complaints
        #expect(complaints == [mistake.complaint])
        #expect(complaints.allSatisfy { !$0.contains("\n") && !$0.contains("s3cr3t") })
    }

    @Test("Names of tokens and paths of sinks are unique")
    func duplicates() {
        let token = #"{ "name": "a", "auth": { "type": "iam" }, "sinks": [{ "type": "file", "path": "/run/x" }] }"#
        let same = #"{ "name": "a", "auth": { "type": "iam" }, "sinks": [{ "type": "file", "path": "/run//x" }] }"#
        let complaints = examine(#"{ "vault": {"address": "https://v"}, "tokens": [\#(token), \#(same)] }"#).complaints
        #expect(complaints.count == 2)
        #expect(
            complaints.contains {
                $0.hasSuffix(
                    #"tokens[1].sinks[0].path: "/run/x" is the path of tokens[0].sinks[0].path too. Give each its own path"#
                )
            })
        #expect(
            complaints.contains {
                $0.hasSuffix(#"tokens[1].name: "a" is the name of tokens[0] too. Give each token its own"#)
            })
    }

    @Test("What the agent reads itself is no place for a sink", arguments: ["/etc/agent.json", "/aws/token"])
    func ownFiles(path: String) {
        let text = minimal().replacing("/run/app/token", by: path)
        let examination = ConfigurationLoader.examine(
            SourceText(path: "/etc/agent.json", bytes: Array(text.utf8)),
            environment: ["AWS_WEB_IDENTITY_TOKEN_FILE": "/aws/token"])
        let owner = path == "/aws/token" ? "AWS_WEB_IDENTITY_TOKEN_FILE" : "this configuration"
        #expect(examination.complaints.count == 1)
        #expect(
            examination.complaints.allSatisfy {
                $0.hasSuffix("\"\(path)\" is the path of \(owner) too. Give each its own path")
            })
    }

    @Test(
        "However the path to that is written",
        arguments: [
            "agent.json", "./agent.json", ".//x/../agent.json",
            "/.//\(ConfigurationLoader.workingDirectory)//agent.json",
        ],
        ["this configuration", "AWS_CONFIG_FILE"])
    func ownFilesByOtherPaths(path: String, owner: String) {
        let own = ConfigurationLoader.workingDirectory + "/agent.json"
        let isVariable = owner != "this configuration"
        let examination = ConfigurationLoader.examine(
            SourceText(
                path: isVariable ? "/c.json" : path, bytes: Array(minimal().replacing("/run/app/token", by: own).utf8)),
            environment: isVariable ? [owner: path] : [:])
        #expect(examination.complaints.count == 1)
        #expect(examination.complaints.allSatisfy { $0.contains("\"\(own)\" is the path of \(owner) too") })
    }

    @Test(
        "Neither is what it keeps in its state directory",
        arguments: ["lock", "takeover-app", "nonce-app", "region-0123", "token"])
    func ownRecords(name: String) {
        let text = minimal(root: #", "state_directory": "/state""#).replacing("/run/app/token", by: "/state/\(name)")
        let complaints = examine(text).complaints
        #expect(complaints.count == (name == "token" ? 0 : 1))
        #expect(complaints.allSatisfy { $0.contains("\"/state/\(name)\" is the path of ") })
    }

    @Test("What ends in a sink's name is known to those who can tell whether it is the sink")
    func namesakes() throws {
        let text = minimal(
            root: #", "status_file": "/a/token", "metrics": { "textfile": "/a/m.prom" }, "state_directory": "/state""#,
            sink: #" }, { "type": "file", "path": "/link/takeover-app""#)
        #expect(
            try examine(text).usable.configuration.namesakes == [
                "/a/token": "status_file", "/state/takeover-app": "a record in state_directory",
            ])
    }

    @Test("Tokens of one instance may share a nonce")
    func sharedNonce() {
        let tokens = ["a", "b"].map {
            """
            { "name": "\($0)", "auth": { "type": "ec2", "nonce_file": "/n" }, "sinks": [{ "type": "file", "path": "/run/\($0)" }] }
            """
        }
        let text = #"{ "vault": {"address": "https://v"}, "tokens": [\#(tokens.joined(separator: ", "))] }"#
        #expect(examine(text).complaints.isEmpty)
    }

    @Test("A broken flag or variable is named, not the file")
    func outside() {
        var overrides = ConfigurationOverrides()
        overrides.set("vault.address", "ftp://vault")
        #expect(
            examine(minimal(), environment: ["VAULT_SKIP_VERIFY": "yes"], overrides: overrides).complaints == [
                #"--vault-addr: "ftp://vault" has the scheme "ftp", expected a URL such as "https://vault.example.com:8200". Use https or http or unix"#,
                #"VAULT_SKIP_VERIFY: found "yes", expected true or false"#,
            ])
    }

    @Test("All mistakes are found in one go, the first is thrown, and both say exit status 78")
    func several() throws {
        let path = "/dev/shm/vta-config-several-\(UInt64.random(in: 0 ... .max)).json"
        let text = minimal(vault: #", "adress": 1"#, sink: #", "mode": 640"#)
        try write(text, to: path)
        defer { remove(path) }
        #expect(examine(text).complaints.count == 2)
        let error = #expect(throws: AgentError.self) {
            _ = try ConfigurationLoader.load(.file(path), environment: [:])
        }
        #expect(error?.code == .configurationInvalid)
        #expect(error?.code.exitStatus == 78)
        #expect(error?.observed == path + #":2:59: vault.adress: unknown key"#)
        #expect(error?.remedy == #"Did you mean "address"? 1 more: run "vault-token-agent config check""#)
    }

    @Test("A pipe is read to its end, and not twice")
    func pipes() throws {
        var ends: [Int32] = [0, 0]
        #expect(unsafe vta_pipe(&ends) == 0)
        defer { close(ends[0]) }
        let text = Array("{}".utf8)
        #expect(unsafe Glibc.write(ends[1], text, text.count) == text.count)
        close(ends[1])
        let read = try SourceText(readingFrom: "/proc/self/fd/\(ends[0])")
        #expect(read.bytes == text)
        #expect(!read.canBeReadAgain)
    }

    @Test("Standard input and the variable come before the default path, and - before the variable")
    func sources() {
        let variable = [ConfigurationSource.variable: "{}"]
        #expect(ConfigurationSource(option: nil, environment: [:]) == .file(ConfigurationSource.defaultPath))
        let empty = [ConfigurationSource.variable: ""]
        #expect(ConfigurationSource(option: nil, environment: empty) == .file(ConfigurationSource.defaultPath))
        #expect(ConfigurationSource(option: nil, environment: variable) == .environment)
        #expect(ConfigurationSource(option: "-", environment: variable) == .standardInput)
        #expect(ConfigurationSource(option: "/x", environment: variable) == .file("/x"))
    }

    @Test("A variable that is too long is refused, and mistakes in it are placed")
    func variable() {
        let long = [ConfigurationSource.variable: String(repeating: " ", count: SourceText.sizeLimit + 1)]
        #expect(throws: AgentError.self) { try ConfigurationLoader.load(.environment, environment: long) }
        let wrong = [ConfigurationSource.variable: #"{"vault": 1}"#]
        let error = #expect(throws: AgentError.self) {
            try ConfigurationLoader.load(.environment, environment: wrong)
        }
        #expect(error?.observed.hasPrefix("VTA_CONFIG:1:11: ") == true)
    }

    @Test("A missing file, a directory and a file that is too long are refused")
    func files() throws {
        #expect(throws: AgentError.self) { try SourceText(readingFrom: "/nonexistent/config.json") }
        #expect(throws: AgentError.self) { try SourceText(readingFrom: "/tmp") }
        let path = "/dev/shm/vta-config-long-\(UInt64.random(in: 0 ... .max)).json"
        try write(String(repeating: " ", count: SourceText.sizeLimit + 1), to: path)
        defer { remove(path) }
        let error = #expect(throws: AgentError.self) { try SourceText(readingFrom: path) }
        #expect(error?.code == .configurationInvalid)
    }

    @Test("Bytes that are not UTF-8 are refused by place")
    func notUTF8() {
        let bytes = Array("{ \"ä\":\n ".utf8) + [0xFF]
        let examination = ConfigurationLoader.examine(SourceText(path: "c", bytes: bytes), environment: [:])
        #expect(examination.complaints == ["c:2:2: not UTF-8. Save the file in UTF-8"])
    }
}
