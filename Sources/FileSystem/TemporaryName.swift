// FileSystem: names of files and sockets that have not taken their place yet.

/// Says whose it is, so that another agent's is left alone.
package enum TemporaryName {
    private static let mark = ".vta-"
    private static let (digits, socketDigits) = (16, 8)

    /// `.token.vta-0123456789abcdef`
    static func make(for name: String) -> String {
        ".\(name)\(mark)\(randomDigits(digits))"
    }

    /// Whose it is; nil: it is none.
    static func owner(of candidate: String) -> String? {
        let length = mark.utf8.count + digits
        guard candidate.utf8.count > length + 1 else { return nil }
        let name = String(candidate.dropFirst().dropLast(length))
        return isMade(candidate, ".\(name)\(mark)", digits) ? name : nil
    }

    /// `.vta-01234567`: short, because the address of a socket is.
    static func makeForSocket() -> String {
        mark + randomDigits(socketDigits)
    }

    static func isForSocket(_ candidate: String) -> Bool {
        isMade(candidate, mark, socketDigits)
    }

    /// In bytes.
    static let lengthForSocket = mark.utf8.count + socketDigits

    private static func randomDigits(_ count: Int) -> String {
        let digits = String(UInt64.random(in: .min ... .max), radix: 16)
        return String((String(repeating: "0", count: 16) + digits).suffix(count))
    }

    private static func isMade(_ candidate: String, _ start: String, _ count: Int) -> Bool {
        guard candidate.hasPrefix(start) else { return false }
        let rest = candidate.utf8.dropFirst(start.utf8.count)
        return rest.count == count
            && rest.allSatisfy { ($0 >= 48 && $0 <= 57) || ($0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "f")) }
    }
}
