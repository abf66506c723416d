import Diagnosis
import HTTPServer
import ServiceHealth
import Testing
import TokenLifecycle

@Suite struct HealthPagesTests {
    private func ask(
        _ path: String, accept: String = "", of tokens: [TokenHealth] = [fresh("app")],
        _ pages: HealthPages = [.metrics, .probes]
    ) -> ServerReply {
        pages.reply(to: ServerRequest(path: path, accept: accept), agent(tokens), Metrics(), at: noon)
    }

    private var lost: TokenHealth {
        var token = fresh("lost")
        token.phase = .lost
        token.trouble = Trouble(error: unreachable, since: noon)
        return token
    }

    @Test func `readiness follows the tokens, liveness does not`() {
        #expect(ask("/readyz").status == .good)
        let unready = ask("/readyz", of: [fresh("app"), lost])
        #expect(unready.status == .unavailable && unready.text.contains("lost: no valid token since"))
        #expect(ask("/healthz", of: [lost]) == ServerReply(.good, "ok\n"))
    }

    @Test func `one token is asked for by its name, with its children`() {
        let child = fresh("app/1")
        var bad = fresh("app/2")
        bad.phase = .starting
        let tokens = [fresh("app"), child, lost, fresh("app2")]
        #expect(ask("/readyz/app", of: tokens).status == .good)
        #expect(!ask("/readyz/app", of: tokens).text.contains("lost"))
        #expect(ask("/readyz/app/1", of: tokens + [bad]).status == .good)
        let unready = ask("/readyz/app", of: tokens + [bad])
        #expect(unready.status == .unavailable && unready.text.hasPrefix("app/2: no token yet"))
        let reason = ask("/readyz/lost", of: tokens)
        #expect(reason.status == .unavailable && reason.text.contains("(vault_unreachable)"))
        for nobody in ["/readyz/", "/readyz/nobody", "/readyz/ap", "/readyz/app/", "/readyz/app/3"] {
            #expect(ask(nobody, of: tokens).status == .notFound, "\(nobody)")
        }
    }

    @Test func `an agent that stops is not ready, whichever token is asked for`() {
        var health = agent([fresh("app")])
        health.stopping = true
        let request = ServerRequest(path: "/readyz/app")
        #expect(HealthPages.probes.reply(to: request, health, Metrics(), at: noon).status == .unavailable)
    }

    @Test func `a listener has its own pages and no others`() {
        for path in ["/healthz", "/readyz", "/readyz/app"] {
            #expect(ask(path, .metrics).status == .notFound)
            #expect(ask(path, .probes).status == .good)
        }
        #expect(ask("/metrics", .metrics).status == .good && ask("/metrics", .probes).status == .notFound)
        var settings = HealthSettings()
        settings.metricsListen = "a"
        #expect(settings.listeners == ["a": [.metrics, .probes]])
        settings.probesListen = "b"
        #expect(settings.listeners == ["a": .metrics, "b": .probes])
        settings.probesListen = "a"
        #expect(settings.listeners == ["a": [.metrics, .probes]])
        settings.metricsListen = nil
        #expect(settings.listeners == ["a": .probes])
    }

    /// As Prometheus 2 and 3 ask, and others.
    @Test(arguments: [
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                + "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
                + "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,*/*;q=0.2", true
        ),
        ("application/openmetrics-text; version=0.0.1", true), ("application/openmetrics-text", true),
        ("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.5", false),
        ("application/openmetrics-text;version=2.0.0", false), ("application/openmetrics-text;q=0", false),
        ("text/html,*/*", false), ("", false),
    ])
    func `who asks for OpenMetrics is given it`(accept: String, isOpen: Bool) {
        let reply = ask("/metrics", accept: accept)
        #expect(
            reply.type
                == (isOpen
                    ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                    : "text/plain; version=0.0.4; charset=utf-8"))
        #expect(reply.text.hasSuffix("# EOF\n") == isOpen)
        #expect(reply.text.contains("# TYPE vault_token_agent_logins counter\n") == isOpen)
        #expect(reply.text.contains("\nvault_token_agent_logins_total{token=\"app\"} 0\n"))
    }
}
