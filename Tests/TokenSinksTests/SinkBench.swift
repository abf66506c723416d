// A sink on a loop of its own, as the runtime uses it.

import Crypto
import Diagnosis
import EventLoop
import Logging
import Timekeeping

@testable import TokenSinks

/// Runs `body` on a fresh event loop, as the agent's flows run on theirs.
func onLoop<Result: Sendable>(
    _ body: @escaping @Sendable (EventLoop) async throws -> Result
) async throws -> Result {
    let loop = try EventLoop(label: "test")
    return try await Task(executorPreference: loop) { try await body(loop) }.value
}

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

func fileSink(_ path: String, on loop: EventLoop, _ adjust: (inout SinkSettings, inout FilePlace) -> Void = { _, _ in })
    throws -> any TokenSink
{
    var place = FilePlace(path: path)
    var settings = SinkSettings(place: .file(place))
    adjust(&settings, &place)
    settings.place = .file(place)
    return try SinkFactory(loop: loop).makeSink(settings, log: quiet)
}

func content(_ token: String, renewedAt moment: Int64 = 1_800_000_000) -> TokenContent {
    TokenContent(
        token: Secret(text: token), accessor: "accessor-of-\(token)", policies: ["app", "default"],
        metadata: ["account_id": "123456789012", "note": "a \"quoted\" word"], leaseDuration: .seconds(1_200),
        renewable: true, issuedAt: WallTime(secondsSince1970: 1_800_000_000),
        expiresAt: WallTime(secondsSince1970: moment + 1_200), vaultAddress: "https://vault.example.com:8200")
}
