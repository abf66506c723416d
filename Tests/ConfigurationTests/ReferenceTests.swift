// What is written about the keys, held against the table that the loader reads by.

import Testing
import Timekeeping

@testable import Configuration

@Suite("Schema and reference")
struct ReferenceTests {
    @Test("deploy/config.schema.json is the schema that `config schema` prints")
    func schema() throws {
        #expect(try projectText("deploy/config.schema.json") == JSONSchema.text)
    }

    @Test("docs/configuration.md holds the tables that `config reference` prints")
    func markdown() throws {
        let text = try projectText("docs/configuration.md")
        #expect(text.contains(ConfigurationReference.markdown))
        #expect(text.contains(ConfigurationReference.outsideMarkdown))
    }

    @Test("docs/man/vault-token-agent.json.5 holds the keys that `config reference --man` prints")
    func manual() throws {
        #expect(try projectText("docs/man/vault-token-agent.json.5").contains(ConfigurationReference.manual))
    }

    @Test("The schema is JSON, describes each section once, and says each default that the loader uses")
    func schemaContent() throws {
        let members = try #require(Self.object(SourceNode.read(Array(JSONSchema.text.utf8)).value))
        let definitions = try #require(members["$defs"].flatMap(Self.object))
        #expect(definitions.count == 10)
        for (name, section) in [("sink", KeyTable.sink), ("auth", KeyTable.auth), ("vault", KeyTable.vault)] {
            let properties = try #require(
                definitions[name].flatMap(Self.object)?["properties"].flatMap(Self.object))
            #expect(Set(properties.keys) == Set(section.keys.map(\.name) + ["$comment"]))
            for key in section.keys {
                guard case .value(let text) = key.fallback else { continue }
                let value = properties[key.name].flatMap(Self.object)?["default"]
                #expect(value == .text(text) || value == .flag(text == "true"), "\(name).\(key.name)")
            }
        }
    }

    @Test("Every default in the table is a value that the file could give")
    func defaults() {
        func walk(_ section: Section) {
            for key in section.keys {
                switch (key.fallback, key.shape) {
                case (_, .section(let inner)), (_, .sections(let inner)): walk(inner)
                case (.value(let text), .choice(let choices)): #expect(choices.contains(text), "\(key.name)")
                case (.value(let text), .duration(let range, _)):
                    #expect(Duration(text: text).map(range.contains) == true, "\(key.name)")
                case (.byChoice(let other, let values), .mode):
                    #expect(values.allSatisfy { $0.value.utf8.count == 4 && UInt16($0.value, radix: 8) != nil })
                    #expect(section.key(other) != nil)
                case (.value(let text), .flag): #expect(text == "false", "\(key.name)")
                default: break
                }
                if let condition = key.condition { #expect(section.key(condition.key) != nil, "\(key.name)") }
                #expect(key.summary.hasSuffix("."), "\(key.name)")
            }
        }
        walk(KeyTable.root)
    }

    private static func object(_ value: SourceNode.Value) -> [String: SourceNode.Value]? {
        guard case .object(let members) = value else { return nil }
        return Dictionary(members.map { ($0.key, $0.node.value) }, uniquingKeysWith: { first, _ in first })
    }
}
