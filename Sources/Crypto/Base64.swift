// Crypto: base64 (RFC 4648) read back.

extension [UInt8] {
    /// Reads padded base64 on one line, strictly: nil for any other character, a wrong length, or padding that hides bits.
    package init?(base64 text: String) {
        let digits = Array(text.utf8)
        guard digits.count % 4 == 0 else { return nil }
        let padding = digits.reversed().prefix(2).prefix { $0 == UInt8(ascii: "=") }.count
        self = []
        reserveCapacity(digits.count / 4 * 3)
        var group: UInt32 = 0
        for (index, digit) in digits.dropLast(padding).enumerated() {
            guard let value = Self.base64Value(digit) else { return nil }
            group = group << 6 | value
            if index % 4 == 3 {
                self += [UInt8(group >> 16), UInt8(group >> 8 & 255), UInt8(group & 255)]
                group = 0
            }
        }
        switch padding {
        case 1:
            guard group & 3 == 0 else { return nil }
            self += [UInt8(group >> 10), UInt8(group >> 2 & 255)]
        case 2:
            guard group & 15 == 0 else { return nil }
            append(UInt8(group >> 4))
        default: break
        }
    }

    private static func base64Value(_ digit: UInt8) -> UInt32? {
        switch digit {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(digit - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(digit - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(digit - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
