// AWSIdentity: what STS says of time and region in a refusal, whether it said so to the agent or to Vault, which repeats it.

private import Diagnosis
internal import Timekeeping

/// The words of one refusal.
struct STSWords {
    let text: String

    /// STS's own time, where the refusal is about time and quotes it: in "Signature expired: 20261121T090000Z is now earlier
    /// than 20261121T100500Z (20261121T102000Z - 15 min.)" the one in parentheses.
    var time: WallTime? {
        guard isAboutTime else { return nil }
        for piece in text.split(separator: "(").dropFirst() {
            let stamp = piece.prefix(16)
            let rest = piece.dropFirst(16)
            guard rest.hasPrefix(" - ") || rest.hasPrefix(" + "), let time = WallTime(amzDate: String(stamp)) else {
                continue
            }
            return time
        }
        return nil
    }

    var isAboutTime: Bool {
        let text = text.lowercased()
        return ["signature expired", "not yet current", "too skewed"].contains { text.holds($0) }
    }

    /// The region to sign for, where the refusal names it: "… expecting 'eu-west-1'", "… a valid region: eu-west-1". The usual
    /// "not 'us-east-1'" names the one that was wrong.
    var region: String? {
        for phrase in ["expecting ", "scoped to a valid region: ", "should be "] {
            var rest = text[...]
            while let found = rest.firstOccurrence(of: phrase) {
                rest = rest[found.upperBound...]
                let name = rest.drop { "'\"".contains($0) }.prefix {
                    $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-")
                }
                if Self.looksLikeRegion(name) { return String(name) }
            }
        }
        return nil
    }

    /// `us-east-1`, `us-gov-west-1`, `eusc-de-east-1`: words in small letters and a number.
    private static func looksLikeRegion(_ name: Substring) -> Bool {
        let parts = name.split(separator: "-", omittingEmptySubsequences: false)
        return (3...5).contains(parts.count) && name.utf8.count <= 40
            && parts.dropLast().allSatisfy { !$0.isEmpty && $0.allSatisfy { $0.isLowercase } }
            && (parts.last.map { (1...2).contains($0.count) && $0.allSatisfy(\.isNumber) } ?? false)
    }
}
