// Configuration: what is wrong in a text that somebody wrote by hand: what was found, where, and which habit may have put it
// there.

package import Diagnosis

/// Why a text cannot be read.
package struct TextFault: Error, Equatable {
    package let offset: Int
    /// "found a comma, expected a value".
    package let complaint: String
    package let remedy: String

    package init(offset: Int, complaint: String, remedy: String = "") {
        self.offset = offset
        self.complaint = complaint
        self.remedy = remedy
    }

    /// What stands at `offset` is not what belongs there.
    package init(_ bytes: [UInt8], at offset: Int, expected: String, remedy: String = "") {
        self.init(offset: offset, complaint: "found \(Self.found(bytes, offset)), expected \(expected)", remedy: remedy)
    }

    /// "a comma", "the end of the line".
    private static func found(_ bytes: [UInt8], _ offset: Int) -> String {
        guard offset < bytes.count else { return "the end of the file" }
        switch bytes[offset] {
        case UInt8(ascii: "\n"), UInt8(ascii: "\r"): return "the end of the line"
        case 0..<0x20: return "a control character"
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"):
            let word = bytes[offset...].prefix(20).prefix { $0 >= UInt8(ascii: "A") && $0 <= UInt8(ascii: "z") }
            return String(decoding: word, as: UTF8.self)
        default:
            // A character, not half of one.
            return printable(String(String(decoding: bytes[offset...].prefix(8), as: UTF8.self).prefix(1)))
        }
    }

    package func located(in source: SourceText) -> AgentError {
        AgentError(.configurationInvalid, "\(source.place(offset)): \(complaint)", remedy: remedy)
    }
}

extension SourceText {
    /// Where a text begins: after a byte order mark, if it has one. Throws for what is not UTF-8.
    package static func start(of bytes: [UInt8]) throws(TextFault) -> Int {
        do {
            _ = try UTF8Span(validating: bytes.span)
        } catch {
            throw TextFault(
                offset: error.byteOffsets.lowerBound, complaint: "not UTF-8", remedy: "Save the file in UTF-8")
        }
        return bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    }
}
