import Crypto
import Diagnosis
import EventLoop
import HTTPClient
import TestSupport
import Testing

@Suite("Requests and replies")
struct RequestTests {
    @Test("method, path, headers and body arrive as given, and nothing but the program's name is added")
    func arrivesAsGiven() async throws {
        let server = try SocketServer(answering: { peer, request in peer.reply(request) })
        let stage = try Stage()
        let request = HTTPRequest(
            .post, server.url + "/v1/a/../b?c=d%2F",
            headers: [HTTPHeader("X-Vault-Token", secret: Secret(text: "s.x"))],
            body: Secret(text: "{}"))
        let reply = try await stage.send(request).get()
        #expect(reply.status == 200)
        #expect(
            reply.body.text == """
                POST /v1/a/../b?c=d%2F HTTP/1.1\r
                Host: 127.0.0.1:\(server.port)\r
                User-Agent: vault-token-agent/\(Product.version)\r
                X-Vault-Token: s.x\r
                Content-Length: 2\r
                \r
                {}
                """)
    }

    @Test("3,000 requests, 24 at a time, each with its own reply")
    func manyAtOnce() async throws {
        let server = try SocketServer(answering: { peer, request in
            peer.reply(String(request.split(separator: " ")[1]))
        })
        let stage = try Stage()
        let (transport, loop, url) = (stage.transport, stage.loop, server.url)
        let wrong = try await stage.run {
            await withTaskGroup(of: Int.self) { group in
                for worker in 0..<24 {
                    group.addTask(executorPreference: loop) {
                        (try? await stage.run {
                            var wrong = 0
                            for index in 0..<125 {
                                let path = "/\(worker)/\(index)"
                                let reply = try? await transport.send(
                                    HTTPRequest(index % 2 == 0 ? .get : .post, url + path, totalTimeout: .seconds(5)))
                                if reply?.body.text != path { wrong += 1 }
                            }
                            return wrong
                        }) ?? 125
                    }
                }
                return await group.reduce(0, +)
            }
        }
        #expect(wrong == 0)
    }
}
