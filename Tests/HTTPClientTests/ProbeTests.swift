import Glibc
import TestSupport
import Testing

/// Looks at the client from outside, in a process in which nothing else goes on.
@Suite("In a process of its own")
struct ProbeTests {
    @Test("proxies and key logs of the environment do not count, no copy of a token stays, and at rest nothing wakes")
    func probe() throws {
        let servers = try TLSServers.shared.get()
        let directory = TemporaryDirectory()
        let keyLog = directory.file("keys")
        // A debug build's Swift libraries bind their symbols when first called, by way of the stack; the release has them
        // linked in and is bound at start.
        var environment = ["SSLKEYLOGFILE": keyLog, "no_proxy": "", "LD_BIND_NOW": "1"]
        for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy"] {
            environment[name] = "http://127.0.0.1:1"
        }
        let program = try #require(products) + "/transport-probe"
        let plain = try SocketServer(answering: { peer, request in peer.reply(request) })
        for url in [servers.url("good"), plain.url] {
            let helper = try Helper([program, url, servers.path("main.pem")], environment: environment)
            #expect(helper.line() == "copies while held 1")
            #expect(helper.line() == "status 200")
            #expect(helper.line() == "copies afterwards 0")
            #expect(helper.line() == "wake-ups in 3 s 0")
        }
        // libcurl makes the file; what counts is that it stays empty.
        var status = stat()
        if unsafe stat(keyLog, &status) == 0 { #expect(status.st_size == 0) }
        withExtendedLifetime(directory) {}
    }

    /// Where the build put this process's executable, and with it the probe's.
    private var products: String? {
        var path = [CChar](repeating: 0, count: Int(PATH_MAX))
        guard unsafe readlink("/proc/self/exe", &path, path.count - 1) > 0 else { return nil }
        let text = String(decoding: path.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return text.lastIndex(of: "/").map { String(text[..<$0]) }
    }
}
