// The reader of HCL: its forms, its faults with their places, and input that means harm.

import Configuration
import TestSupport
import Testing

@testable import ConfigurationImport

private func read(_ text: String) throws -> [SourceNode.Member] {
    try HCLReader.read(Array(text.utf8)).members
}

private func value(_ text: String) throws -> SourceNode.Value? {
    try read("x = \(text)").first?.node.value
}

@Suite struct HCLReaderTests {
    @Test(arguments: [
        (#""a\n\t\"\\é\u00e9\U0001F600""#, "a\n\t\"\\éé😀"), (#""""#, ""),
        (#""${env("X")} and {""#, #"${env("X")} and {"#), (#""${a {"b"} c}d""#, #"${a {"b"} c}d"#),
        ("<<EOF\none\n two\nEOF\n", "one\n two\n"), ("<<-EOF\n    one\n      two\n    EOF\n", "one\n  two\n"),
        ("<<EOF\nEOF", ""), ("<<EOF\r\na\r\nEOF\r\n", "a\r\n"),
    ])
    func `strings are what they say`(text: String, expected: String) throws {
        #expect(try value(text) == .text(expected))
    }

    @Test func `numbers, flags, null and lists are what they say`() throws {
        #expect(try value("0640") == .number("0640"))
        #expect(try value("-1.5e+3") == .number("-1.5e+3"))
        #expect(try value("true") == .flag(true))
        #expect(try value("null") == .null)
        guard case .list(let elements) = try value("[1, \"a\", [true],]") else { return #expect(Bool(false)) }
        #expect(elements.count == 3)
    }

    @Test func `what follows a text of many lines is read`() throws {
        let members = try read("a = <<EOF\ntext\nEOF\nb = 1")
        #expect(members.map(\.key) == ["a", "b"])
    }

    @Test func `in JSON a dollar and a brace are two characters`() throws {
        let members = try read(#"{"a": "${", "b": 1, "c": "\ud83d\ude00"}"#)
        #expect(members.map(\.key) == ["a", "b", "c"])
        #expect(members[0].node.value == .text("${"))
        #expect(members[2].node.value == .text("😀"))
    }

    @Test(arguments: [
        ("a = ", "found the end of the file, expected a value"), ("a", "expected {"),
        ("a b c d e f {}", "labels"),
        ("a = }", "found }, expected a value"), ("{", "expected a key in double quotes or }"), ("a {", "expected }"),
        ("}", "nothing after the end"),
        ("{} x", "nothing after the end of the value"), ("a = [1 2]", "expected a comma or ]"),
        ("a = [", "expected a value"),
        ("a = \"x", "never ends"), ("a = \"x\ny\"", "expected the string to end on its line"),
        ("a = \"\\q\"", "an escape that does not exist"), ("a = \"\\u12\"", "expected 4 hexadecimal digits"),
        ("a = \"\\ud800\"", "the number of a character"), ("a = <<", "without a word"), ("a = <EOF", "expected <<"),
        ("a = <<EOF\nx", "never ends"), ("/* x", "never ends"), ("a = b", "expected a value"),
        ("= 1", "expected a key"),
        ("a = env(\"X\")", "expected a value"), ("a = 1 = 2", "expected a key"), ("/", "expected a key"),
    ])
    func `a fault is told in one line, within the text`(text: String, complaint: String) {
        let fault = #expect(throws: TextFault.self) { try read(text) }
        #expect(fault?.complaint.contains(complaint) == true, "\(fault?.complaint ?? "")")
        #expect(fault.map { (0...text.utf8.count).contains($0.offset) } == true)
        #expect(fault?.complaint.contains("\n") == false)
    }

    @Test func `what is not UTF-8 is refused`() {
        #expect(throws: TextFault.self) { try HCLReader.read([0x61, 0x20, 0x3D, 0x20, 0x22, 0xFF, 0x22]) }
    }

    @Test(arguments: ["[", "{ a = ", "a { ", "a = [{ b = "])
    func `nesting has a bound`(opening: String) {
        let text = "x = " + String(repeating: opening, count: 100_000)
        let fault = #expect(throws: TextFault.self) { try read(text) }
        #expect(fault != nil)
    }

    @Test(arguments: ["\"${", "/*", "<<A\n", "#", "a b ", "\\", "\"\\u", "[,", "{{", "a={"])
    func `a megabyte of one thing takes no time to speak of`(piece: String) {
        let text = String(repeating: piece, count: (1 << 20) / piece.utf8.count)
        let took = processorTime { _ = try? read(text) }
        // A reader that went over it again for each piece would take minutes.
        #expect(took < .seconds(20))
    }

    @Test func `damage of any kind gives a tree or a fault`() {
        let whole = Array(
            """
            vault { address = "https://vault:8200" } # comment
            auto_auth { method "aws" { config = { type = "iam", mode = 0640, list = [1, true, null] } } /* c */
            sink "file" { contents = <<-EOT
              {{ with secret "x" }}
              EOT
            path = "a\\u00e9${b("c")}" } }
            """.utf8)
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<5_000 {
            var bytes = whole
            for _ in 0...Int.random(in: 0..<4, using: &generator) {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                switch Int.random(in: 0..<3, using: &generator) {
                case 0: bytes[place] = .random(in: 0...127, using: &generator)
                case 1: bytes.removeSubrange(place..<min(bytes.count - 1, place + 20))
                default: bytes.insert(contentsOf: bytes[..<min(20, place)], at: place)
                }
            }
            do throws(TextFault) {
                _ = try HCLReader.read(bytes)
            } catch {
                #expect((0...bytes.count).contains(error.offset))
            }
        }
    }
}
