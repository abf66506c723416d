// Timekeeping: times as programs of all kinds write them, read as the AWS CLI reads them, with one reading or none.

extension WallTime {
    /// Reads what RFC 3339 allows and what other programs print: basic ISO 8601 (`20261121T091000Z`), `+0000`, `+00`, ` UTC`,
    /// a blank for the `T`, no seconds, slashes, the forms of HTTP, mail and `date`. Fractions are cut to whole seconds.
    ///
    /// Nil without a zone, for zones by other names than UTC, GMT and Z, and for what can be read in two ways. At most 64 bytes.
    package init?(loose text: String) {
        var reader = LooseReader(text)
        guard let seconds = reader.read() else { return nil }
        self.init(secondsSince1970: seconds)
    }
}

private struct LooseReader {
    private let text: [UInt8]
    private var place = 0
    private var year: Int64?
    private var month: Int64?
    private var day: Int64?
    private var time: (hour: Int64, minute: Int64, second: Int64)?
    /// Seconds east of Greenwich.
    private var zone: Int64?
    private var isZoneNamed = false
    private var hasMeridiem = false

    init(_ text: String) {
        self.text = text.utf8.count <= 64 ? Array(text.lowercased().utf8) : []
    }

    mutating func read() -> Int64? {
        while place < text.count {
            guard readPart() else { return nil }
        }
        guard let year, let month, let day, let time, let zone,
            let civil = CivilTime(
                year: year, month: month, day: day, hour: time.hour, minute: time.minute, second: time.second)
        else { return nil }
        return civil.secondsSince1970 - zone
    }

    private mutating func readPart() -> Bool {
        switch text[place] {
        case UInt8(ascii: " "), UInt8(ascii: ","):
            place += 1
            return true
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return readNumber()
        case UInt8(ascii: "a")...UInt8(ascii: "z"): return readWord()
        case UInt8(ascii: "+"), UInt8(ascii: "-"): return readOffset()
        case UInt8(ascii: "("):
            // A comment after the zone, as in mail: "+0000 (UTC)".
            guard zone != nil, let end = text[place...].firstIndex(of: UInt8(ascii: ")")) else { return false }
            place = end + 1
            return true
        default: return false
        }
    }

    // MARK: Pieces

    private mutating func digits() -> (value: Int64, count: Int) {
        var value: Int64 = 0
        let start = place
        while place < text.count, case let byte = text[place], 0x30...0x39 ~= byte, place - start < 15 {
            value = value * 10 + Int64(byte - 0x30)
            place += 1
        }
        return (value, place - start)
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard place < text.count, text[place] == UInt8(ascii: character) else { return false }
        place += 1
        return true
    }

    private mutating func word() -> String {
        let start = place
        while place < text.count, UInt8(ascii: "a")...UInt8(ascii: "z") ~= text[place] { place += 1 }
        return String(decoding: text[start..<place], as: UTF8.self)
    }

    private mutating func skipFraction() -> Bool {
        guard take(".") || take(",") else { return true }
        return digits().count > 0
    }

    // MARK: Numbers

    private mutating func readNumber() -> Bool {
        let (value, count) = digits()
        if place < text.count {
            switch text[place] {
            case UInt8(ascii: ":") where time == nil && count <= 2: return readClock(hour: value)
            case UInt8(ascii: "-") where day == nil && month == nil, UInt8(ascii: "/") where day == nil && month == nil:
                return readDate(first: value, count, separator: Unicode.Scalar(text[place]))
            default: break
            }
        }
        let hasDate = year != nil && month != nil && day != nil
        switch count {
        case 8 where year == nil && month == nil && day == nil:
            (year, month, day) = (value / 10_000, value / 100 % 100, value % 100)
        case 12 where !hasDate && time == nil && year == nil:
            (year, month, day) = (value / 100_000_000, value / 1_000_000 % 100, value / 10_000 % 100)
            time = (value / 100 % 100, value % 100, 0)
        case 14 where !hasDate && time == nil && year == nil:
            let date = value / 1_000_000
            (year, month, day) = (date / 10_000, date / 100 % 100, date % 100)
            time = (value / 10_000 % 100, value / 100 % 100, value % 100)
            return skipFraction()
        case 2 where hasDate && time == nil: time = (value, 0, 0)
        case 4 where hasDate && time == nil: time = (value / 100, value % 100, 0)
        case 6 where hasDate && time == nil:
            time = (value / 10_000, value / 100 % 100, value % 100)
            return skipFraction()
        case 4 where year == nil: year = value
        case 1 where day == nil, 2 where day == nil: day = value
        default: return false
        }
        return true
    }

    private mutating func readClock(hour: Int64) -> Bool {
        guard take(":") else { return false }
        let minute = digits()
        var second: Int64 = 0
        if take(":") {
            let read = digits()
            guard read.count == 2 else { return false }
            second = read.value
            guard skipFraction() else { return false }
        }
        time = (hour, minute.value, second)
        return minute.count == 2
    }

    /// `2026-11-21`, `2026/11/21`, `11/21/2026` as Americans have it, `21-Nov-2026`.
    private mutating func readDate(first: Int64, _ count: Int, separator: Unicode.Scalar) -> Bool {
        guard year == nil, take(separator) else { return false }
        if place < text.count, UInt8(ascii: "a")...UInt8(ascii: "z") ~= text[place] {
            guard count <= 2, readWord(), month != nil, take(separator) else { return false }
            let last = digits()
            (day, year) = (first, last.count == 2 ? 2_000 + last.value : last.value)
            return last.count == 4 || last.count == 2
        }
        let second = digits()
        guard second.count == 1 || second.count == 2, take(separator) else { return false }
        let third = digits()
        if count == 4, (1...2).contains(third.count) {
            (year, month, day) = (first, second.value, third.value)
        } else if count <= 2, third.count == 4, separator == "/", first <= 12 {
            (month, day, year) = (first, second.value, third.value)
        } else {
            return false
        }
        return true
    }

    // MARK: Words

    private static let weekdays = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    private static let months = [
        "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
        "december",
    ]

    private mutating func readWord() -> Bool {
        let word = word()
        switch word {
        case "t": return day != nil && time == nil && place < text.count && 0x30...0x39 ~= text[place]
        case "z", "utc", "gmt":
            guard zone == nil, time != nil else { return false }
            (zone, isZoneNamed) = (0, true)
            return true
        case "am", "pm":
            guard !hasMeridiem, let clock = time, (1...12).contains(clock.hour) else { return false }
            hasMeridiem = true
            time?.hour = clock.hour % 12 + (word == "pm" ? 12 : 0)
            return true
        default: break
        }
        if word.utf8.count >= 3, Self.weekdays.contains(where: { $0 == word || $0.prefix(3) == word }) { return true }
        guard month == nil, let index = Self.months.firstIndex(where: { $0 == word || $0.prefix(3) == word }) else {
            return false
        }
        month = Int64(index) + 1
        return true
    }

    /// `+01:00`, `+0100`, `+01`, `+1`. After a zone's name it would be read in two ways: "GMT+1" is west or east of Greenwich.
    private mutating func readOffset() -> Bool {
        guard time != nil, zone == nil, !isZoneNamed else { return false }
        let sign: Int64 = text[place] == UInt8(ascii: "+") ? 1 : -1
        place += 1
        let (value, count) = digits()
        var (hours, minutes) = (value, Int64(0))
        switch count {
        case 1, 2:
            if take(":") {
                let read = digits()
                guard read.count == 2 else { return false }
                minutes = read.value
            }
        case 4: (hours, minutes) = (value / 100, value % 100)
        default: return false
        }
        guard hours <= 23, minutes <= 59 else { return false }
        zone = sign * (hours * 3_600 + minutes * 60)
        return true
    }
}
