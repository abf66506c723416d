// RFC 8259, both ways: what is JSON is read as what it says, what is not is refused.

import SecretJSON
import Testing

@testable import Configuration

@Suite("JSON")
struct SourceNodeTests {
    private func value(_ text: String) throws -> SourceNode.Value {
        try SourceNode.read(Array(text.utf8)).value
    }

    @Test(
        "Strings say what they escape",
        arguments: [
            (#""""#, ""), (#""a\"\\\/\b\f\n\r\tz""#, "a\"\\/\u{8}\u{C}\n\r\tz"), (#""\u00e9\u20AC""#, "é€"),
            (#""\ud83d\ude00""#, "😀"), ("\"\u{7F}é😀\"", "\u{7F}é😀"), (#""\u0000""#, "\0"),
        ])
    func strings(_ text: String, _ content: String) throws {
        #expect(try value(text) == .text(content))
    }

    @Test("Numbers are kept as written", arguments: ["0", "-0", "12", "1.50", "-3e+7", "1E400", "0.0e-0"])
    func numbers(_ text: String) throws {
        #expect(try value(" \t\r\n\(text)\n") == .number(text))
    }

    @Test("Members keep their order, their repetitions and their places")
    func members() throws {
        let node = try SourceNode.read(Array(#"{"b": [true, null], "a": {}, "b": false}"#.utf8))
        guard case .object(let members) = node.value else {
            Issue.record("not an object")
            return
        }
        #expect(members.map(\.key) == ["b", "a", "b"])
        #expect(members.map(\.offset) == [1, 20, 29])
        #expect(members.map(\.node.offset) == [6, 25, 34])
        #expect(
            members[0].node.value
                == .list([SourceNode(offset: 7, value: .flag(true)), SourceNode(offset: 13, value: .null)]))
    }

    @Test(
        "What is not JSON is refused",
        arguments: [
            "", " ", "nul", "nulll", "True", "NaN", "Infinity", "+1", ".5", "1.", "1e", "1e+", "01", "-", "- 1", "0x1F",
            "[1,]", "[,1]", "[1 2]", "[1", "]", "{\"a\":1,}", "{a:1}", "{\"a\"}", "{\"a\":}", "{\"a\":1", "{1:1}",
            "\"\t\"", "\"\n\"", "\"\\", "\"\\u12\"", "\"\\u12G4\"", "\"\\uDC00\"", "\"\\uD800\"", "\"\\uD800\\n\"",
            "\"\\uD800\\u0041\"", "'a'", "\"a", "// a\n1", "/* */1", "1 1", "{} x", "\u{A0}1", "[1]\u{FEFF}",
        ])
    func refusals(_ text: String) {
        #expect(throws: TextFault.self) { try value(text) }
    }

    @Test("Depth is limited, and the limit itself is allowed")
    func depth() throws {
        func nested(_ count: Int) -> String {
            String(repeating: "[", count: count) + String(repeating: "]", count: count)
        }
        _ = try value(nested(JSONReader.depthLimit))
        #expect(throws: TextFault.self) { try value(nested(JSONReader.depthLimit + 1)) }
    }
}
