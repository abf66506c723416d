// Bytes that nobody wrote on purpose, and some that somebody did: the answer is always a configuration or a few lines.

import Diagnosis
import TestSupport
import Testing

@testable import Configuration

/// SplitMix64, so that a failing seed can be run again.
private struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}

/// Pieces that make JSON go wrong, or go on.
private let pieces: [[UInt8]] =
    [
        "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u0000", "\\uD83D", "\\uDE00", "null", "true", "1e9999", "-",
        "0640",
        "//", "\u{FEFF}", "\n", "\"name\"", "\"vault\":", "\"tokens\":[", "{\"a\":", "\"\":\"\"",
    ].map { Array($0.utf8) } + [[0], [0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80]]

private func mutated(_ original: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
    var bytes = original
    for _ in 0..<Int.random(in: 1...4, using: &generator) {
        guard !bytes.isEmpty else { break }
        let at = Int.random(in: 0..<bytes.count, using: &generator)
        let end = min(bytes.count, at + Int.random(in: 1...40, using: &generator))
        switch Int.random(in: 0..<6, using: &generator) {
        case 0: bytes[at] = UInt8.random(in: 0...255, using: &generator)
        case 1: bytes.removeSubrange(at..<end)
        case 2: bytes.insert(contentsOf: pieces.randomElement(using: &generator) ?? [], at: at)
        case 3: bytes.insert(contentsOf: bytes[at..<end], at: Int.random(in: 0..<bytes.count, using: &generator))
        case 4: bytes.removeLast(bytes.count - at)
        default: bytes.swapAt(at, end - 1)
        }
    }
    return bytes
}

@Suite("Hostile input")
struct HostileInputTests {
    @Test(
        "Four thousand mutations of the example give a configuration or at most 20 lines, each about a place in the file"
    )
    func mutations() throws {
        let example = try projectFile("config.example.json").bytes
        let large = Array(minimal(root: #", "log": {"level": "info"}, "metrics": {"listen": "[::1]:1"}"#).utf8)
        for seed in 0..<4_000 {
            var generator = SeededGenerator(state: UInt64(seed))
            let bytes = mutated(seed.isMultiple(of: 2) ? example : large, &generator)
            let lines = bytes.count { $0 == UInt8(ascii: "\n") } + 1
            let examination = ConfigurationLoader.examine(SourceText(path: "c", bytes: bytes), environment: [:])
            guard case .unusable(let errors) = examination else { continue }
            #expect((1...20).contains(errors.count), "seed \(seed)")
            for error in errors {
                let text = error.description
                #expect(error.code == .configurationInvalid, "seed \(seed)")
                #expect(
                    !text.unicodeScalars.contains { $0.value < 0x20 } && text.utf8.count < 2_000,
                    "seed \(seed): \(text)")
                let line = text.split(separator: ":").dropFirst().first.flatMap { Int($0) }
                #expect(
                    line.map { (1...lines).contains($0) } ?? text.contains("vault.address: missing"),
                    "seed \(seed): \(text)")
            }
        }
    }

    @Test(
        "A mebibyte of nonsense is answered within a few seconds",
        arguments: [
            "[", "{\"a\":", "\"", "{", "0", " ", "\n", "{\"tokens\":[", "\\", "é", "\u{0301}",
        ])
    func mebibyte(_ piece: String) {
        let bytes = Array(String(repeating: piece, count: SourceText.sizeLimit / piece.utf8.count).utf8)
        let took = processorTime {
            let examination = ConfigurationLoader.examine(SourceText(path: "c", bytes: bytes), environment: [:])
            #expect(!examination.complaints.isEmpty)
        }
        #expect(took < .seconds(80), "a few seconds, on a machine four times slower")
    }

    @Test("Sixty thousand unknown keys give 20 lines")
    func unknownKeys() {
        let keys = (0..<60_000).map { "\"x\($0)\":0" }.joined(separator: ",")
        #expect(examine("{\(keys)}").complaints.count == Problems.limit)
    }

    @Test("What a token costs to load does not grow with their number")
    func manyTokens() throws {
        func timeToLoad(_ count: Int) throws -> Duration {
            let tokens = (0..<count).map {
                #"{ "name": "t\#($0)", "auth": { "type": "iam" }, "sinks": [{ "type": "file", "path": "/run/\#($0)" }] }"#
            }.joined(separator: ",\n")
            return try processorTime {
                let loaded = try examine(#"{ "vault": { "address": "https://v" }, "tokens": [\#(tokens)] }"#).usable
                #expect(loaded.configuration.tokens.count == count)
            }
        }
        // Ten times as many take ten times as long; a hundred times where each is compared with all others.
        let few = try timeToLoad(300)
        #expect(try timeToLoad(3_000) < few * 40)
    }
}
