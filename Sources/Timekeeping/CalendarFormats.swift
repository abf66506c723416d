// Timekeeping: calendar time as text: RFC 3339 (files and logs), SigV4's basic ISO 8601, HTTP's Date.

/// A UTC date and time taken apart by the proleptic Gregorian calendar.
struct CivilTime {
    var year: Int64
    var month: Int64
    var day: Int64
    var hour: Int64
    var minute: Int64
    var second: Int64

    /// Howard Hinnant's `civil_from_days`, exact over the whole range of `WallTime`.
    init(secondsSince1970 total: Int64) {
        let days = (total >= 0 ? total : total - 86_399) / 86_400
        let inDay = total - days * 86_400
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        (hour, minute, second) = (inDay / 3_600, inDay % 3_600 / 60, inDay % 60)
    }

    /// Nil for a date that the calendar does not have. A leap second (:60) counts as the second after :59.
    init?(year: Int64, month: Int64, day: Int64, hour: Int64, minute: Int64, second: Int64) {
        guard (1678...2261).contains(year), (1...12).contains(month), (0...23).contains(hour),
            (0...59).contains(minute),
            (0...60).contains(second)
        else { return nil }
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths: [Int64] = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard day >= 1, day <= lengths[Int(month) - 1] else { return nil }
        (self.year, self.month, self.day) = (year, month, day)
        (self.hour, self.minute, self.second) = (hour, minute, second)
    }

    /// Howard Hinnant's `days_from_civil`.
    var secondsSince1970: Int64 {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = shiftedYear / 400
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return (era * 146_097 + dayOfEra - 719_468) * 86_400 + hour * 3_600 + minute * 60 + second
    }
}

let monthNames = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

private func padded(_ value: Int64, _ width: Int = 2) -> String {
    var digits = String(value)
    while digits.utf8.count < width { digits = "0" + digits }
    return digits
}

/// The number that a run of 1 to 9 ASCII digits spells; nil for anything else.
private func number(_ text: Substring) -> Int64? {
    guard 1...9 ~= text.utf8.count, text.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }) else { return nil }
    return Int64(text)
}

extension WallTime {
    /// `2026-11-21T09:10:00Z`, whole seconds.
    package var rfc3339: String {
        let civil = CivilTime(secondsSince1970: secondsSince1970)
        return "\(padded(civil.year, 4))-\(padded(civil.month))-\(padded(civil.day))"
            + "T\(padded(civil.hour)):\(padded(civil.minute)):\(padded(civil.second))Z"
    }

    /// `2026-11-21T09:10:00.123Z`: of two such texts the later one is the greater.
    package var rfc3339Milliseconds: String {
        let milliseconds = String(1_000 + (nanosecondsSince1970 / 1_000_000 % 1_000 + 1_000) % 1_000)
        return "\(rfc3339.dropLast()).\(milliseconds.dropFirst())Z"
    }

    /// `09:10:00Z`, for a status line.
    package var timeOfDay: String {
        String(rfc3339.dropFirst(11))
    }

    /// `20261121T091000Z`, as `X-Amz-Date` wants it.
    package var amzDate: String {
        let civil = CivilTime(secondsSince1970: secondsSince1970)
        return "\(padded(civil.year, 4))\(padded(civil.month))\(padded(civil.day))"
            + "T\(padded(civil.hour))\(padded(civil.minute))\(padded(civil.second))Z"
    }

    /// Reads `20261121T091000Z`.
    package init?(amzDate text: String) {
        let digits = Array(text.utf8)
        guard digits.count == 16, digits[8] == UInt8(ascii: "T"), digits[15] == UInt8(ascii: "Z") else { return nil }
        func field(_ range: Range<Int>) -> Int64? { number(Substring(decoding: digits[range], as: UTF8.self)) }
        guard let year = field(0..<4), let month = field(4..<6), let day = field(6..<8), let hour = field(9..<11),
            let minute = field(11..<13), let second = field(13..<15),
            let civil = CivilTime(year: year, month: month, day: day, hour: hour, minute: minute, second: second)
        else { return nil }
        self.init(secondsSince1970: civil.secondsSince1970)
    }

    /// Reads RFC 3339 (`2026-11-21T09:10:00.123Z`, `2026-11-21T10:10:00+01:00`). Fractions are cut to whole seconds.
    package init?(rfc3339 text: String) {
        guard text.utf8.count <= 64, text.utf8.count >= 20 else { return nil }
        let characters = Array(text)
        func field(_ range: Range<Int>) -> Int64? {
            number(Substring(String(characters[range])))
        }
        guard characters.count >= 20, characters[4] == "-", characters[7] == "-", "Tt ".contains(characters[10]),
            characters[13] == ":", characters[16] == ":",
            let year = field(0..<4), let month = field(5..<7), let day = field(8..<10),
            let hour = field(11..<13), let minute = field(14..<16), let second = field(17..<19),
            let civil = CivilTime(year: year, month: month, day: day, hour: hour, minute: minute, second: second)
        else { return nil }
        var rest = characters[19...]
        if rest.first == "." {
            rest = rest.dropFirst()
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            guard !digits.isEmpty else { return nil }
            rest = rest.dropFirst(digits.count)
        }
        if rest.count == 1, let zone = rest.first, "Zz".contains(zone) {
            self.init(secondsSince1970: civil.secondsSince1970)
            return
        }
        let zone = Array(rest)
        guard zone.count == 6, zone[3] == ":", zone[0] == "+" || zone[0] == "-",
            let hours = number(Substring(String(zone[1...2]))), let minutes = number(Substring(String(zone[4...5]))),
            hours <= 23, minutes <= 59
        else { return nil }
        let offset = (hours * 3_600 + minutes * 60) * (zone[0] == "+" ? 1 : -1)
        self.init(secondsSince1970: civil.secondsSince1970 - offset)
    }

    /// Reads `Sat, 21 Nov 2026 09:10:00 GMT`, the one form that RFC 9110 lets servers send.
    package init?(httpDate text: String) {
        guard text.utf8.count <= 64 else { return nil }
        let parts = text.utf8.split(separator: UInt8(ascii: " ")).map { Substring($0) }
        guard parts.count == 6, parts[5] == "GMT", let month = monthNames.firstIndex(of: String(parts[2])) else {
            return nil
        }
        let clock = parts[4].utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
            .map { Substring($0) }
        guard clock.count == 3, let day = number(parts[1]), let year = number(parts[3]), let hour = number(clock[0]),
            let minute = number(clock[1]), let second = number(clock[2]),
            let civil = CivilTime(
                year: year, month: Int64(month) + 1, day: day, hour: hour, minute: minute, second: second)
        else { return nil }
        self.init(secondsSince1970: civil.secondsSince1970)
    }
}
