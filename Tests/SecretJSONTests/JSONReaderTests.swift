import Crypto
import SecretJSON
import Testing

private func read(_ text: String) throws(JSONFault) -> JSONValue {
    try JSONValue(reading: Secret(text: text))
}

@Suite("JSON is read within bounds")
struct JSONReaderTests {
    @Test("every kind of value")
    func kinds() throws {
        let value = try read(
            #" { "a" : [ 1, -2.0, 0 , true,false,null ], "b":{"c":"d"}, "e":"", "f": 12345678901234567890, "g": 1.5 } "#
        )
        #expect(
            value["a"]?.array?.map(\.kind) == [
                "a number", "a number", "a number", "true or false", "true or false", "null",
            ])
        #expect(value["a"]?.array?.compactMap(\.integer) == [1, -2, 0])
        #expect(value["a"]?.array?.compactMap(\.boolean) == [true, false])
        #expect(value["b"]?["c"]?.string?.text == "d")
        #expect(value["e"]?.string?.text == "")
        #expect(value["f"]?.integer == nil, "too large for 64 bits")
        #expect(value["g"]?.integer == nil, "not whole")
        #expect(value["absent"] == nil)
        #expect(value.object?.count == 5)
    }

    @Test(
        "escapes, in text and in secrets",
        arguments: [
            (#"a\"\\\/\b\f\n\r\tz"#, "a\"\\/\u{8}\u{c}\n\r\tz"),
            (#"\u0041\u00e9\u20ac"#, "Aé€"),
            (#"\ud83d\ude00!"#, "😀!"),
            (#"\ud83d"#, "\u{FFFD}"),
            (#"\ud83dx\ude00"#, "\u{FFFD}x\u{FFFD}"),
            (#"\ud83d\u0041"#, "\u{FFFD}A"),
            ("é€😀", "é€😀"),
        ])
    func escapes(written: String, meant: String) throws {
        let string = try #require(try read("\"\(written)\"").string)
        #expect(string.text == meant)
        #expect(string.secret.text == meant)
    }

    @Test(
        "anything else is refused, with the place",
        arguments: [
            ("", 0), ("  ", 2), ("{", 1), ("[1,]", 3), ("[1 2]", 3), (#"{"a" 1}"#, 5), (#"{"a":1,}"#, 7),
            (#"{a:1}"#, 1),
            (#"{"a":1}{"#, 7), ("nul", 0), ("truth", 0), ("01", 0), ("-", 1), ("1.", 2), ("1e", 2), ("+1", 0),
            ("NaN", 0),
            (#""abc"#, 0), ("\"a\nb\"", 2), (#""\x""#, 1), (#""\u12g4""#, 5), ("'a'", 0), (#"{"a":1,"a":2}"#, 7),
            ("<html>", 0), ("\u{FEFF}{}", 0),
        ])
    func faults(text: String, offset: Int) {
        let fault = #expect(throws: JSONFault.self) { try read(text) }
        #expect(fault?.offset == offset)
    }

    @Test("depth and count end at their limits")
    func limits() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        _ = try read(nested(JSONReader.depthLimit))
        #expect(throws: JSONFault.self) { try read(nested(JSONReader.depthLimit + 1)) }
        #expect(throws: JSONFault.self) { try read(String(repeating: "[", count: 1 << 20)) }
        func list(_ count: Int) -> String {
            "[" + String(repeating: "0,", count: count - 2) + "0]"
        }
        _ = try read(list(JSONValue.countLimit))
        #expect(throws: JSONFault.self) { try read(list(JSONValue.countLimit + 1)) }
    }

    /// Every string is asked for too: an escape that the reader let through must not lead out of the document.
    @Test("no damage to a document makes the reader trap")
    func damage() {
        let whole = Array(
            #"{"a":"x\ud83d\ude00\n","b":[1,-2.5e+3,true,null],"c":{"d":"\u00e9","e":["é","\"\\"]},"f":""}"#.utf8)
        let spice = Array(#""\u{}[],:019e-"#.utf8) + [0]
        var state: UInt64 = 42
        func draw(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        func visit(_ value: JSONValue) -> Int {
            (value.string.map { $0.text.utf8.count + $0.secret.count } ?? 0) + (value.integer == nil ? 0 : 1)
                + (value.array ?? []).map(visit).reduce(0, +) + (value.object ?? [:]).values.map(visit).reduce(0, +)
        }
        var read = 0
        for _ in 0..<20_000 {
            var bytes = whole
            for _ in 0...draw(4) {
                switch draw(3) {
                case 0: bytes[draw(bytes.count)] = UInt8(draw(256))
                case 1: bytes.remove(at: draw(bytes.count))
                default: bytes.insert(spice[draw(spice.count)], at: draw(bytes.count))
                }
            }
            if let value = try? JSONValue(reading: Secret(bytes)) {
                _ = visit(value)
                read += 1
            }
        }
        #expect((100..<19_000).contains(read), "both outcomes are met: \(read) of 20,000 could be read")
    }

    @Test("faults never quote the document")
    func silence() {
        let fault = #expect(throws: JSONFault.self) { try read(#"{"client_token":"hvs.CAESIJ" oops}"#) }
        #expect(fault.map { "\($0)".contains("hvs") } == false)
    }
}

@Suite("JSON is written whole")
struct JSONWriterTests {
    @Test("what is written can be read again, and by its exact text")
    func objects() throws {
        var writer = JSONObjectWriter(capacity: 1)
        writer.add("text", "a\"b\\c\n\u{1}é")
        writer.add("secret", Secret(text: "s\"t"))
        writer.add("list", ["x", "y"])
        writer.add("number", -7)
        writer.add("flag", true)
        writer.add("base64", base64: "light work.")
        let document = writer.finish()
        #expect(
            document.text
                == #"{"text":"a\"b\\c\u000a\u0001é","secret":"s\"t","list":["x","y"],"number":-7,"flag":true,"#
                + #""base64":"bGlnaHQgd29yay4="}"#)
        let value = try JSONValue(reading: document)
        #expect(value["text"]?.string?.text == "a\"b\\c\n\u{1}é")
        #expect(JSONObjectWriter().finish().text == "{}")
    }
}
