// The XML of STS: what is read, and what is refused.

import Crypto
import Testing

@testable import AWSIdentity

@Suite("STS's XML")
struct XMLReplyTests {
    private func read(_ text: String) throws(XMLReply.Fault) -> XMLReply {
        try XMLReply(Secret(text: text))
    }

    @Test("Leaves are found by their path below the root, whatever the namespace")
    func leaves() throws {
        let reply = try read(
            "<r xmlns='https://x/'>\n <a> <b>one &amp; <![CDATA[<two>]]></b>\n <c/></a> <a><b>second</b></a></r>")
        #expect(reply.root == "r")
        #expect(reply.text("a/b") == "one & <two>")
        #expect(reply.text("a/c") == nil)
        #expect(reply.secret("a/c")?.count == 0)
        #expect(reply.secret("a") == nil)
        #expect(reply.text("b") == nil)
    }

    @Test(
        "What is not one document is refused with its line",
        arguments: [
            ("", 1), ("text", 1), ("<a>", 1), ("<a>\n</b>", 2), ("<a/>\n<b/>", 2), ("<a>\n\n&nbsp;</a>", 3),
            ("<a b=c/>", 1),
            ("\u{FEFF}<a>\n\u{1}</a>", 2), ("<a xmlns:x=''/>\n<", 2),
        ])
    func malformed(text: String, line: Int) throws {
        let fault = try #require(throws: XMLReply.Fault.self) { try read(text) }
        #expect(fault.line == line)
        #expect(!fault.complaint.isEmpty)
    }

    @Test(
        "Document types are refused, with them all entities",
        arguments: [
            "<!DOCTYPE a><a/>", "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
            "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
            "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>",
        ])
    func documentTypes(text: String) throws {
        let fault = try #require(throws: XMLReply.Fault.self) { try read(text) }
        #expect(fault.complaint == "a document type is not allowed")
    }

    @Test("Depth and number of elements are bounded")
    func bounds() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "<a>", count: depth) + String(repeating: "</a>", count: depth)
        }
        _ = try read(nested(XMLReply.depthLimit))
        let deep = try #require(throws: XMLReply.Fault.self) { try read(nested(XMLReply.depthLimit + 1)) }
        #expect(deep.complaint.contains("inside one another"))
        _ = try read("<r>" + String(repeating: "<a/>", count: XMLReply.countLimit - 1) + "</r>")
        let many = try #require(throws: XMLReply.Fault.self) {
            try read("<r>" + String(repeating: "<a/>", count: XMLReply.countLimit) + "</r>")
        }
        #expect(many.complaint.contains("elements"))
    }

    @Test("A declaration of another encoding does not change how bytes are read")
    func encoding() throws {
        #expect(try read("<?xml version='1.0' encoding='ISO-8859-1'?><r><a>é</a></r>").text("a") == "é")
    }
}
