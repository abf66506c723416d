// The calendar, compared with the C library's.

import Glibc
import Testing
import Timekeeping

@Suite("Calendar time as text")
struct CalendarTests {
    /// What the C library makes of it, in UTC.
    private func libraryText(_ time: WallTime, _ format: String) -> String {
        var seconds = time_t(time.secondsSince1970)
        var parts = unsafe tm()
        unsafe gmtime_r(&seconds, &parts)
        var buffer = [CChar](repeating: 0, count: 64)
        let count = unsafe strftime(&buffer, buffer.count, format, &parts)
        return String(decoding: buffer.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Every 29 February and turn of a year that can be told, with the seconds around, and a seed's choice of moments.
    private static let moments: [WallTime] = {
        var seconds: [Int64] = [0, -1, 1, 951_782_400, 4_107_542_400, 1_795_255_091, 2_147_483_647, 2_147_483_648]
        for year in 1_678...2_261 as ClosedRange<Int64> {
            for day in ["01-01", "02-28", "03-01", "12-31"] {
                guard let midnight = WallTime(rfc3339: "\(year)-\(day)T00:00:00Z") else { continue }
                let first = midnight.secondsSince1970
                seconds += [first, first + 1, first + 86_399]
            }
        }
        var state: UInt64 = 7
        for _ in 0..<5_000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            seconds.append(Int64(bitPattern: state) % 9_200_000_000)
        }
        return seconds.map { WallTime(secondsSince1970: $0) }
    }()

    @Test("is the C library's, in each form, over six centuries")
    func written() {
        #expect(Self.moments.count > 11_000)
        for moment in Self.moments {
            let text = libraryText(moment, "%Y-%m-%dT%H:%M:%SZ")
            guard moment.rfc3339 == text, moment.timeOfDay == libraryText(moment, "%H:%M:%SZ"),
                moment.amzDate == libraryText(moment, "%Y%m%dT%H%M%SZ"), WallTime(rfc3339: text) == moment,
                WallTime(httpDate: libraryText(moment, "%a, %d %b %Y %H:%M:%S GMT")) == moment
            else {
                Issue.record("\(text) is written \(moment.rfc3339)")
                return
            }
        }
    }

    @Test("in RFC 3339 has a zone, and fractions are cut")
    func zones() {
        let moment = WallTime(secondsSince1970: 1_795_255_091)
        for text in [
            "2026-11-21T09:58:11Z", "2026-11-21t09:58:11z", "2026-11-21T09:58:11.999999999Z",
            "2026-11-21T10:58:11+01:00", "2026-11-21T00:28:11.5-09:30", "2026-11-22T09:57:11+23:59",
            "2026-11-21T09:58:11-00:00",
        ] {
            #expect(WallTime(rfc3339: text) == moment, "\(text)")
        }
        // A leap second counts as the second after :59.
        #expect(WallTime(rfc3339: "2016-12-31T23:59:60Z") == WallTime(rfc3339: "2017-01-01T00:00:00Z"))
        #expect(WallTime(rfc3339: "2000-02-29T00:00:00Z") != nil)
        #expect(WallTime(rfc3339: "2024-02-29T00:00:00Z") != nil)
    }

    @Test(
        "is refused where the calendar does not have it or the text is another",
        arguments: [
            "", "Z", "2026-11-21", "2026-11-21T09:58:11", "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-04-31T00:00:00Z", "2026-01-00T00:00:00Z",
            "2026-01-32T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z",
            "1677-12-31T00:00:00Z", "2262-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "2026-11-21T09:58:11.Z",
            "2026-11-21T09:58:11.5", "2026-11-21T09:58:11+24:00", "2026-11-21T09:58:11+01:60",
            "2026-11-21T09:58:11+1:00", "2026-11-21T09:58:11ZZ", "2026-11-21T09:58:11Z ", " 2026-11-21T09:58:11Z",
            "2026-11-21T-9:58:11Z", "2026-11-21T+9:58:11Z", "２026-11-21T09:58:11Z", "2026-11-21T09:58:1\u{663}Z",
            "2026-11-21T09:58:11.\u{663}Z", "2026-11-21T09:58:11\u{301}Z", "2026-11-21T09:58:11Z\u{301}",
            "2026-11-21T09:58:11." + String(repeating: "0", count: 60) + "Z",
        ])
    func refused(text: String) {
        #expect(WallTime(rfc3339: text) == nil)
    }

    @Test(
        "in HTTP is the one form that servers may send",
        arguments: [
            "", "GMT", "Sat, 21 Nov 2026 09:58:11 UTC", "Sat, 21 Nov 2026 09:58:11", "Sat, 31 Feb 2026 09:58:11 GMT",
            "Sat, 21 nov 2026 09:58:11 GMT", "Sat, 21 Nov 2026 24:58:11 GMT", "Sat, 21 Nov 2026 09:58 GMT",
            "Sat, 21 Nov 2026 09:58:11:00 GMT", "Sat, -1 Nov 2026 09:58:11 GMT", "Sat, 21 Nov +026 09:58:11 GMT",
            "Sat, 2\u{663} Nov 2026 09:58:11 GMT", "Sat, 21 Nov 2026 09:58:11 GMT+1",
            "Sat, 21 Nov 99999999999999999999 09:58:11 GMT", String(repeating: "Sat, 21 Nov 2026 ", count: 1_000),
        ])
    func otherHTTPDates(text: String) {
        #expect(WallTime(httpDate: text) == nil)
    }
}
