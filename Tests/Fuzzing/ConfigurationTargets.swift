// Fuzzing: files that people write.

import Crypto
import Diagnosis
import SecretJSON
import ServiceHealth
import Timekeeping

@testable import Configuration
@testable import ConfigurationImport

let configurationTargets = [
    FuzzTarget("configuration") { bytes in
        let source = SourceText(path: "config.json", bytes: bytes)
        switch ConfigurationLoader.examine(source, environment: ["VAULT_ADDR": "https://vault:8200"]) {
        case .unusable(let errors):
            insist((1...20).contains(errors.count), "\(errors.count) errors")
            errors.forEach { insist($0) }
        case .usable(let loaded, let effective):
            insist(!loaded.configuration.tokens.isEmpty, "a configuration has tokens")
            insist(!effective().isEmpty, "a configuration has values")
        }
    },
    FuzzTarget("hcl") { bytes in
        let source = SourceText(path: "agent.hcl", bytes: bytes)
        do throws(AgentError) {
            let imported = try ImportedConfiguration(source)
            imported.remarks.forEach { insist(isHarmless($0), "a remark: \($0.debugDescription)") }
            // What was translated is JSON at least; whether it loads, the file decides.
            do throws(TextFault) {
                _ = try SourceNode.read(Array(imported.document.laidOut.utf8))
            } catch {
                insist(false, "not JSON: \(error)")
            }
        } catch {
            insist(error)
        }
    },
    FuzzTarget("json") { bytes in
        let secret = Secret(bytes)
        if let value = try? JSONValue(reading: secret) { _ = weight(value) }
        guard let node = try? SourceNode.read(bytes) else { return }
        // Whatever the strict reader takes the other takes as well, but for keys that stand twice and its bound.
        do throws(JSONFault) {
            _ = try JSONValue(reading: secret, values: .max)
        } catch {
            insist(error.cause == .repeatedKey || bytes.first == 0xEF, "\(error) where \(node.offset) was read")
        }
    },
    FuzzTarget("status") { bytes in
        do throws(AgentError) {
            let document = try StatusDocument(json: bytes, from: "status.json")
            let again = try StatusDocument(json: Array(document.json.utf8), from: "status.json")
            insist(again == document, "what was written is read otherwise")
            let reading = StatusReading(document: document, heartbeat: .init(secondsSince1970: 1_795_251_600))
            _ = reading.table(at: .init(secondsSince1970: 1_795_251_630))
            _ = reading.reasonsAgainstHealth(at: .init(secondsSince1970: 1_795_251_630))
        } catch {
            insist(error)
        }
    },
]

/// Asks for every string and number.
private func weight(_ value: JSONValue) -> Int {
    (value.string.map { $0.text.utf8.count + $0.secret.count } ?? 0) + (value.integer == nil ? 0 : 1)
        + (value.array ?? []).map(weight).reduce(0, +) + (value.object ?? [:]).values.map(weight).reduce(0, +)
}
