import Diagnosis
import Testing

@Suite("One text in another")
struct TextSearchTests {
    @Test(
        "the first place counts, also after a false start",
        arguments: [
            ("https://a://b", "://", 5, 8), ("aab", "ab", 1, 3), ("ab", "ab", 0, 2), ("ab", "", 0, 0), ("", "", 0, 0),
        ])
    func found(text: String, part: String, start: Int, end: Int) throws {
        let place = try #require(text.firstOccurrence(of: part))
        #expect(text.distance(from: text.startIndex, to: place.lowerBound) == start)
        #expect(text.distance(from: text.startIndex, to: place.upperBound) == end)
        #expect(text.holds(part))
    }

    @Test("what is not there, or only in part, is not found", arguments: [("", "a"), ("ab", "abc"), ("a:/b", "://")])
    func absent(text: String, part: String) {
        #expect(text.firstOccurrence(of: part) == nil)
        #expect(!text.holds(part))
    }

    @Test("places in a slice are told from its start")
    func slice() throws {
        let bytes: [UInt8] = [1, 2, 3, 1, 2]
        let part: [UInt8] = [1, 2]
        let rest = bytes[1...]
        let offset = rest.span.firstOffset(of: part.span)
        #expect(offset == 2)
    }

    @Test("bytes are found whatever character they belong to")
    func characters() {
        #expect("://\u{301}".holds("://"))
        #expect("ab://\u{301}c".firstOccurrence(of: "://")?.upperBound == "ab://".endIndex)
    }
}
