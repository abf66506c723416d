// Timekeeping: durations as people write and read them: "30s", "5m", "1h30m".

extension Duration {
    /// Longest duration that text may ask for: 10 years. Vault's own default ceiling is 768 h.
    package static let longestInText: Duration = .seconds(10 * 365 * 86_400)

    /// Reads `90s`, `5m`, `1h30m`, `250ms`, `2d`: one or more whole numbers, each with a unit (`ms`, `s`, `m`, `h`, `d`).
    ///
    /// Nil for anything else: no unit, a sign, a fraction, a unit twice, units out of order, more than ``longestInText``.
    package init?(text: String) {
        let units: [(name: String, milliseconds: Int64)] = [
            ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1),
        ]
        guard !text.isEmpty, text.utf8.count <= 40 else { return nil }
        var rest = Substring(text)
        var nextUnit = 0
        var milliseconds: Int64 = 0
        while !rest.isEmpty {
            let digits = rest.prefix { $0 >= "0" && $0 <= "9" }
            guard !digits.isEmpty, digits.count <= 12, let count = Int64(digits) else { return nil }
            rest = rest.dropFirst(digits.count)
            let letters = rest.prefix { $0 >= "a" && $0 <= "z" }
            guard let unit = units[nextUnit...].firstIndex(where: { $0.name == letters }) else { return nil }
            rest = rest.dropFirst(letters.count)
            let (part, overflow) = count.multipliedReportingOverflow(by: units[unit].milliseconds)
            guard !overflow, part <= Int64.max - milliseconds else { return nil }
            milliseconds += part
            nextUnit = unit + 1
        }
        guard milliseconds <= Duration.longestInText.nanoseconds / 1_000_000 else { return nil }
        self = .milliseconds(milliseconds)
    }

    /// The two largest units, rounded down: `768h`, `1h30m`, `59m12s`, `45s`, `250ms`, `0s`.
    package var text: String {
        let milliseconds = nanoseconds / 1_000_000
        if milliseconds < 0 { return "-" + (Duration.zero - self).text }
        let seconds = milliseconds / 1_000
        switch seconds {
        case 0: return milliseconds == 0 ? "0s" : "\(milliseconds)ms"
        case 1..<60: return "\(seconds)s"
        case 60..<3_600: return "\(seconds / 60)m" + (seconds % 60 == 0 ? "" : "\(seconds % 60)s")
        default: return "\(seconds / 3_600)h" + (seconds % 3_600 < 60 ? "" : "\(seconds % 3_600 / 60)m")
        }
    }
}
