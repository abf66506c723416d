// Diagnosis: one text in another. The standard library's own search is a part of its regular expressions, which would be a
// tenth of the program; Package.swift keeps them out.

extension Span<UInt8> {
    /// How many bytes come before `part` for the first time; nil: it is not there. An empty part is at the start.
    package func firstOffset(of part: Span<UInt8>) -> Int? {
        guard part.count <= count else { return nil }
        for start in 0...(count - part.count) {
            var matched = 0
            while matched < part.count, self[start + matched] == part[matched] { matched += 1 }
            if matched == part.count { return start }
        }
        return nil
    }
}

extension Substring {
    /// Where the bytes of `part` stand in a row for the first time, whatever characters they belong to.
    package func firstOccurrence(of part: String) -> Range<Index>? {
        guard let offset = utf8.span.firstOffset(of: part.utf8.span) else { return nil }
        let start = utf8.index(startIndex, offsetBy: offset)
        return start..<utf8.index(start, offsetBy: part.utf8.count)
    }
}

extension String {
    /// Where the bytes of `part` stand in a row for the first time, whatever characters they belong to.
    package func firstOccurrence(of part: String) -> Range<Index>? {
        self[...].firstOccurrence(of: part)
    }

    /// Whether the bytes of `part` stand in a row in the text.
    package func holds(_ part: String) -> Bool {
        utf8.span.firstOffset(of: part.utf8.span) != nil
    }
}
