import Crypto
import HTTPClient
import SecretJSON
import Testing
import Timekeeping
import VaultAPI

private let minute: Duration = .seconds(60)
private let renewed = """
    {"auth":{"client_token":"s.x","accessor":"a","policies":["default"],"lease_duration":20,"renewable":true}}
    """

@Suite("What is sent to Vault")
struct RequestTests {
    @Test("an iam login holds the signed request in base64")
    func iamLogin() async throws {
        var login = LoginSettings(method: .iam)
        login.role = "app"
        login.mountPath = "auth/aws-prod"
        let vault = ScriptedVault([.reply(200, loginSuccess)], login: login) { $0.namespace = "team/a" }
        _ = try await vault.logIn()
        let request = try #require(vault.transport.requests.first)
        #expect(request.method == .post)
        #expect(request.url == "https://vault.example:8200/v1/auth/aws-prod/login")
        #expect(request.headers.map(\.name) == ["X-Vault-Request", "X-Vault-Namespace", "Content-Type"])
        #expect(request.header("X-Vault-Namespace") == "team/a")
        #expect(request.header("X-Vault-Token") == nil)
        let body = try JSONValue(reading: try #require(request.body))
        #expect(
            body.object?.mapValues { $0.string?.text } == [
                "role": "app",
                "iam_http_request_method": "POST",
                "iam_request_url": "aHR0cHM6Ly9zdHMuZXUtY2VudHJhbC0xLmFtYXpvbmF3cy5jb20v",
                "iam_request_body": "QWN0aW9uPUdldENhbGxlcklkZW50aXR5JlZlcnNpb249MjAxMS0wNi0xNQ==",
                "iam_request_headers": base64(
                    #"{"Content-Type":"application/x-www-form-urlencoded; charset=utf-8","X-Amz-Date":"20261121T091000Z","#
                        + #""X-Amz-Security-Token":"FwoGZXIvYXdzEXAMPLE//session+token==","#
                        + #""Authorization":"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261121/eu-central-1/sts/"#
                        + #"aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=00ff"}"#
                ),
            ])
    }

    @Test("without a role none is named, without a namespace no header is sent")
    func defaults() async throws {
        let vault = ScriptedVault([.reply(200, loginSuccess)])
        _ = try await vault.logIn()
        let request = try #require(vault.transport.requests.first)
        #expect(try JSONValue(reading: try #require(request.body))["role"] == nil)
        #expect(request.header("X-Vault-Namespace") == nil)
        #expect(request.header("X-Vault-Wrap-TTL") == nil)
    }

    @Test("an ec2 login sends pkcs7 and the nonce")
    func pkcs7Login() async throws {
        let vault = ScriptedVault([.reply(200, loginSuccess)])
        _ = try await vault.logIn(.ec2PKCS7(Secret(text: "MIAGCSqGSIb3"), nonce: Secret(text: "n-1")))
        #expect(vault.transport.requests[0].body?.text == #"{"pkcs7":"MIAGCSqGSIb3","nonce":"n-1"}"#)
    }

    @Test("an ec2 login by document sends it in base64 with its signature, and the nonce")
    func identityLogin() async throws {
        let vault = ScriptedVault([.reply(200, loginSuccess)])
        let document = Secret(text: #"{"instanceId" : "i-1"}"#)
        _ = try await vault.logIn(
            .ec2Identity(document: document, signature: Secret(text: "c2lnbmVk"), nonce: Secret(text: "n-1")))
        #expect(
            vault.transport.requests[0].body?.text
                == #"{"identity":"eyJpbnN0YW5jZUlkIiA6ICJpLTEifQ==","signature":"c2lnbmVk","nonce":"n-1"}"#)
    }

    @Test("the login's namespace takes the place of the server's, for the token too, once and in the header only")
    func namespaces() async throws {
        var login = LoginSettings(method: .iam)
        login.namespace = "team/b"
        let vault = ScriptedVault([.reply(200, loginSuccess), .reply(200, renewed)], login: login) {
            $0.namespace = "team"
        }
        _ = try await vault.logIn()
        _ = try await vault.client.renewSelf(sampleToken, increment: nil, within: minute)
        for request in vault.transport.requests {
            #expect(request.header("X-Vault-Namespace") == "team/b")
            #expect(request.headers.count { $0.name == "X-Vault-Namespace" } == 1)
            #expect(!request.url.contains("team"))
        }
    }

    @Test("renewal asks for whole seconds, rounded up, or leaves it to the role")
    func renewal() async throws {
        let vault = ScriptedVault([.reply(200, renewed), .reply(200, renewed)])
        _ = try await vault.client.renewSelf(sampleToken, increment: .milliseconds(1_500), within: minute)
        _ = try await vault.client.renewSelf(sampleToken, increment: nil, within: minute)
        let requests = vault.transport.requests
        #expect(
            requests.map(\.url) == Array(repeating: "https://vault.example:8200/v1/auth/token/renew-self", count: 2))
        #expect(requests.map { $0.body?.text } == [#"{"increment":2}"#, "{}"])
        #expect(requests.allSatisfy { $0.method == .post && $0.header("X-Vault-Token") == sampleToken.text })
        let tokenHeader = try #require(requests[0].headers.first { $0.name == "X-Vault-Token" })
        guard case .secret = tokenHeader.value else {
            Issue.record("the token is not sent as a secret")
            return
        }
    }

    @Test("the other calls")
    func others() async throws {
        let wrapped = #"{"wrap_info":{"token":"s.w","accessor":"wa","ttl":60,"creation_time":"t","creation_path":"p"}}"#
        let vault = ScriptedVault([
            .reply(200, #"{"data":{"ttl":20,"accessor":"a"}}"#), .reply(204, ""), .reply(200, loginSuccess),
            .reply(200, wrapped), .reply(200, loginSuccess), .reply(200, #"{"initialized":true,"sealed":false}"#),
        ])
        let client = vault.client
        _ = try await client.lookUpSelf(sampleToken, within: minute)
        try await client.revokeSelf(sampleToken, within: minute)
        _ = try await client.createChild(of: sampleToken, policies: ["a", "b"], ttl: minute, within: minute)
        _ = try await client.wrap(sampleToken, ttl: minute, within: minute)
        _ = try await client.unwrap(Secret(text: "s.w"), within: minute)
        _ = try await client.health(of: "https://vault.example:8200", within: minute)
        let asked = vault.transport.requests.map { request in
            [
                request.method.rawValue, request.url.replacing("https://vault.example:8200/v1/", with: ""),
                request.body?.text ?? "-", request.header("X-Vault-Token") ?? "-",
                request.header("X-Vault-Wrap-TTL") ?? "-",
            ]
        }
        let token = sampleToken.text
        #expect(
            asked == [
                ["GET", "auth/token/lookup-self", "-", token, "-"],
                ["POST", "auth/token/revoke-self", "{}", token, "-"],
                [
                    "POST", "auth/token/create", #"{"policies":["a","b"],"no_default_policy":true,"ttl":"60s"}"#, token,
                    "-",
                ],
                ["POST", "sys/wrapping/wrap", #"{"token":"\#(token)"}"#, token, "60s"],
                ["POST", "sys/wrapping/unwrap", "{}", "s.w", "-"],
                ["GET", "sys/health", "-", "-", "-"],
            ])
    }

    @Test(
        "how it travels: redirects within the domain, proxy and TLS as configured, time-outs no longer than the limit")
    func route() async throws {
        let vault = ScriptedVault(
            [.reply(200, renewed)], environment: ["https_proxy": "http://proxy:3128", "no_proxy": "localhost"]
        ) { server in
            server.redirectHosts = ["10.0.0.0/8"]
            server.tls.caFile = "/ca.pem"
            server.connectTimeout = .seconds(5)
            server.requestTimeout = .seconds(10)
        }
        _ = try await vault.client.renewSelf(sampleToken, increment: nil, within: .seconds(2))
        let request = vault.transport.requests[0]
        #expect(request.route.proxy == .url("http://proxy:3128", exceptions: "localhost"))
        #expect(request.route.tls.caFile == "/ca.pem")
        #expect(request.connectTimeout == .seconds(2))
        #expect(request.totalTimeout == .seconds(2))
        #expect(request.replyLimit == 1 << 20)
        #expect(
            request.redirects == .follow(RedirectScope(hosts: ["vault.example"], listed: ["10.0.0.0/8"])))
    }

    @Test("the proxy is chosen for each address; one that is configured is for all of them")
    func proxies() async throws {
        let environment = ["https_proxy": "http://secure:3128", "http_proxy": "http://plain:3128"]
        let addresses = ["http://a:8200", "https://b:8200"]
        let refused = Scripted.fail(HTTPFailure(.connectionRefused, "no", maybeSent: false))
        let vault = ScriptedVault([refused, .reply(200, renewed)], addresses: addresses, environment: environment)
        _ = try await vault.client.renewSelf(sampleToken, increment: nil, within: minute)
        #expect(
            vault.transport.requests.map(\.route.proxy) == [
                .url("http://plain:3128", exceptions: ""), .url("http://secure:3128", exceptions: ""),
            ])
        let one = ScriptedVault([refused, .reply(200, renewed)], addresses: addresses, environment: environment) {
            $0.proxy = "http://one:3128"
        }
        _ = try await one.client.renewSelf(sampleToken, increment: nil, within: minute)
        #expect(one.transport.requests.map(\.route.proxy) == [.always("http://one:3128"), .always("http://one:3128")])
    }

    @Test("a socket is asked without proxy")
    func socket() async throws {
        let vault = ScriptedVault(
            [.reply(200, renewed)], addresses: ["unix:///run/vault.sock"],
            environment: ["http_proxy": "http://proxy:3128"]
        ) { $0.proxy = "http://other:3128" }
        _ = try await vault.client.renewSelf(sampleToken, increment: nil, within: minute)
        let request = vault.transport.requests[0]
        #expect(request.url == "http://localhost/v1/auth/token/renew-self")
        #expect(request.route == HTTPRoute(proxy: .direct, unixSocketPath: "/run/vault.sock"))
    }

    @Test("a mount path with odd characters stays in the path")
    func oddMount() async throws {
        var login = LoginSettings(method: .iam)
        login.mountPath = "auth/a b?c#d%e\r\nX: é"
        let vault = ScriptedVault([.reply(200, loginSuccess)], login: login)
        _ = try await vault.logIn()
        #expect(
            vault.transport.requests[0].url
                == "https://vault.example:8200/v1/auth/a%20b%3Fc%23d%25e%0D%0AX%3A%20%C3%A9/login")
    }
}

func base64(_ text: String) -> String {
    var builder = SecretBuilder()
    builder.appendBase64(of: text)
    return builder.secret().text
}
