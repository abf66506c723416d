// Moments and durations at their limits: "never" stays never, and nothing overflows.

import Testing
import Timekeeping

@Suite("Moments and durations at their limits")
struct MomentTests {
    private static let long: Duration = .seconds(Int64.max)

    @Test("a duration in nanoseconds saturates, and cuts what is below one")
    func nanoseconds() {
        #expect(Duration.seconds(3).nanoseconds == 3_000_000_000)
        #expect(Duration.milliseconds(-1_500).nanoseconds == -1_500_000_000)
        #expect(Duration(secondsComponent: 0, attosecondsComponent: 1_999_999_999).nanoseconds == 1)
        #expect(Duration.nanoseconds(Int64.max).nanoseconds == .max)
        #expect(Duration.nanoseconds(Int64.min).nanoseconds == .min)
        #expect((Duration.nanoseconds(Int64.max) + .nanoseconds(1)).nanoseconds == .max)
        #expect((Duration.nanoseconds(Int64.min) - .nanoseconds(1)).nanoseconds == .min)
        #expect(Self.long.nanoseconds == .max)
        #expect((Duration.zero - Self.long).nanoseconds == .min)
    }

    @Test("an instant moved beyond its range is never, in either direction")
    func instants() {
        let moment = Instant(nanoseconds: 5_000)
        #expect(moment + .nanoseconds(7) - .nanoseconds(7) == moment)
        #expect(Instant.distantFuture + .nanoseconds(1) == .distantFuture)
        #expect(Instant.distantPast - .nanoseconds(1) == .distantPast)
        #expect(moment + Self.long == .distantFuture)
        #expect(Instant(nanoseconds: -2) - Self.long == .distantPast)
        #expect(Instant.distantPast + Self.long < moment)
        #expect(Instant.distantFuture - .nanoseconds(-1) == .distantFuture)
        #expect(Instant.distantPast + .nanoseconds(-1) == .distantPast)
    }

    @Test("the time between two instants saturates and has the sign of their order")
    func between() {
        #expect(Instant(nanoseconds: 9) - Instant(nanoseconds: 4) == .nanoseconds(5))
        #expect(Instant(nanoseconds: 4) - Instant(nanoseconds: 9) == .nanoseconds(-5))
        #expect(Instant.distantFuture - Instant.distantPast == .nanoseconds(Int64.max))
        #expect(Instant.distantPast - Instant.distantFuture == .nanoseconds(Int64.min))
        #expect(Instant.distantFuture - Instant(nanoseconds: -1) == .nanoseconds(Int64.max))
    }

    @Test("calendar time saturates, and its whole seconds are rounded down, at the very ends too")
    func wallTimes() {
        #expect(WallTime(secondsSince1970: .max).nanosecondsSince1970 == .max)
        #expect(WallTime(secondsSince1970: .min).nanosecondsSince1970 == .min)
        let (first, last) = (WallTime(nanosecondsSince1970: .min), WallTime(nanosecondsSince1970: .max))
        #expect(last + .nanoseconds(1) == last && first + .nanoseconds(-1) == first)
        #expect(last - first == .nanoseconds(Int64.max) && first - last == .nanoseconds(Int64.min))
        for (nanoseconds, seconds) in [
            (0, 0), (999_999_999, 0), (1_000_000_000, 1), (-1, -1), (-1_000_000_000, -1), (-1_000_000_001, -2),
            (Int64.max, 9_223_372_036), (Int64.min, -9_223_372_037),
        ] as [(Int64, Int64)] {
            #expect(WallTime(nanosecondsSince1970: nanoseconds).secondsSince1970 == seconds, "\(nanoseconds)")
        }
        #expect(first.rfc3339 == "1677-09-21T00:12:43Z")
        #expect(last.rfc3339 == "2262-04-11T23:47:16Z")
    }
}

@Suite("Durations as text")
struct DurationTextTests {
    @Test(
        "are read as whole numbers with units, the larger first",
        arguments: [
            ("0s", .zero), ("90s", .seconds(90)), ("5m", .seconds(300)), ("1h30m", .seconds(5_400)),
            ("250ms", .milliseconds(250)), ("2d", .seconds(172_800)), ("1d2h3m4s5ms", .milliseconds(93_784_005)),
            ("1m0s", .seconds(60)), ("007s", .seconds(7)), ("3650d", Duration.longestInText),
            ("315360000000ms", Duration.longestInText),
        ] as [(String, Duration)])
    func read(text: String, duration: Duration) {
        #expect(Duration(text: text) == duration)
    }

    @Test(
        "are refused where they could mean something else",
        arguments: [
            "", " ", "s", "5", "5 s", " 5s", "5s ", "-5s", "+5s", "1.5h", "1,5h", "5S", "5sec", "5us", "5ns", "1w",
            "1s1s", "1s1m", "1ms1s", "1h30", "h1", "1hm", "3650d1ms", "3651d", "999999999999d", "9999999999999s",
            "1s\0", "５s", "٣s", "5\u{301}s", "5s\u{301}", "\u{200B}5s", String(repeating: "0", count: 40) + "s",
        ])
    func refused(text: String) {
        #expect(Duration(text: text) == nil)
    }

    @Test(
        "are written with their two largest units, rounded down",
        arguments: [
            (.zero, "0s"), (.microseconds(999), "0s"), (.milliseconds(250), "250ms"), (.milliseconds(999), "999ms"),
            (.milliseconds(1_999), "1s"), (.seconds(59), "59s"), (.seconds(60), "1m"), (.seconds(3_552), "59m12s"),
            (.seconds(3_600), "1h"), (.seconds(3_659), "1h"), (.seconds(5_400), "1h30m"), (.seconds(2_764_800), "768h"),
            (.seconds(-90), "-1m30s"), (.milliseconds(-250), "-250ms"), (.microseconds(-999), "0s"),
            (.seconds(Int64.max), "2562047h47m"), (.seconds(Int64.min), "-2562047h47m"),
        ] as [(Duration, String)])
    func written(duration: Duration, text: String) {
        #expect(duration.text == text)
    }

    @Test("that were written and lose nothing by it are read as what they were")
    func roundTrip() {
        for seconds in [0, 1, 59, 60, 61, 3_599, 3_600, 3_660, 7_140, 86_400, 2_764_800] {
            #expect(Duration(text: Duration.seconds(seconds).text) == .seconds(seconds))
        }
    }
}
