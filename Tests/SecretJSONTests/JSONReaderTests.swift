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
            (#"{"a":1}{"#, 7), ("nul", 3), ("truth", 3), ("01", 1), ("-", 1), ("1.", 2), ("1e", 2), ("+1", 0),
            ("NaN", 0),
            (#""abc"#, 4), ("\"a\nb\"", 2), (#""\x""#, 2), (#""\u12g4""#, 5), ("'a'", 0), (#"{"a":1,"a":2}"#, 12),
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
        _ = try read(nested(JSONValue.depthLimit))
        #expect(throws: JSONFault.self) { try read(nested(JSONValue.depthLimit + 1)) }
        #expect(throws: JSONFault.self) { try read(String(repeating: "[", count: 1 << 20)) }
        func list(_ count: Int) -> String {
            "[" + String(repeating: "0,", count: count - 2) + "0]"
        }
        _ = try read(list(JSONValue.countLimit))
        #expect(throws: JSONFault.self) { try read(list(JSONValue.countLimit + 1)) }
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
