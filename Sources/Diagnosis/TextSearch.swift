// Diagnosis: one text in another. The standard library's own search is a part of its regular expressions, which would be a
// tenth of the program; Package.swift keeps them out.

extension Collection where Element: Equatable {
    /// Where `part` begins and ends for the first time; nil: nowhere. An empty part is at the start.
    package func firstOccurrence(of part: some Collection<Element>) -> Range<Index>? {
        var start = startIndex
        while true {
            let rest = self[start...]
            var end = start
            let isHere = part.allSatisfy { element in
                guard end < rest.endIndex, rest[end] == element else { return false }
                rest.formIndex(after: &end)
                return true
            }
            if isHere { return start..<end }
            guard start < endIndex else { return nil }
            formIndex(after: &start)
        }
    }
}

extension StringProtocol {
    /// Whether the bytes of `part` stand in a row in the text.
    package func holds(_ part: some StringProtocol) -> Bool {
        utf8.firstOccurrence(of: part.utf8) != nil
    }
}
