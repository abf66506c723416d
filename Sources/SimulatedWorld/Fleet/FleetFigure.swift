// SimulatedWorld: the fleet's records as a drawing and as a table.

private import Glibc
import Timekeeping

/// A drawing in SVG: a row for each scenario; on the left the requests a second, on the right the share of valid tokens.
package struct FleetFigure {
    /// The records of one scenario.
    package typealias Row = (scenario: FleetScenario, records: [FleetRecord])

    private let rows: [Row]

    private enum Measure {
        static let width = 960.0
        static let top = 50.0
        static let rowHeight = 190.0
        static let panel = (width: 380.0, height: 110.0)
        static let panelsAt = [60.0, 540.0]
        /// Points along a curve; each stands for as many seconds as fit.
        static let points = 380
        /// Upper end of the scale of requests a second.
        static let decades = 4.5
    }

    private static let colours: [FleetKind: String] = [
        .ours: "#0b6e4f", .oursPatient: "#3a6fb0", .vaultAgent: "#c1440e",
    ]

    package init(_ rows: [Row]) {
        self.rows = rows
    }

    package var svg: String {
        let height = Measure.top + Measure.rowHeight * Double(rows.count)
        var parts = [
            #"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \#(Measure.width.digits) \#(height.digits)" "#
                + #"font-family="sans-serif" font-size="11" fill="black">"#,
            #"<rect width="100%" height="100%" fill="white"/>"#,
        ]
        for (index, kind) in FleetKind.allCases.enumerated() {
            let x = 60 + 200 * Double(index)
            parts.append(line(from: (x, 20), to: (x + 22, 20), stroke: Self.colours[kind] ?? "#000", width: 2))
            parts.append(text(kind.rawValue, at: (x + 28, 24)))
        }
        parts.append(text("grey: Vault is out of reach", at: (720, 24), colour: "#777"))
        for (index, row) in rows.enumerated() {
            parts += draw(row, top: Measure.top + Measure.rowHeight * Double(index))
        }
        parts.append("</svg>")
        return parts.joined(separator: "\n") + "\n"
    }

    private func draw(_ row: Row, top: Double) -> [String] {
        let scenario = row.scenario
        let agents = row.records.first?.agents ?? 1
        let shown = (from: scenario.shownFrom.inSeconds, to: scenario.duration.inSeconds)
        func across(_ seconds: Double) -> Double {
            (seconds - shown.from) / (shown.to - shown.from) * Measure.panel.width
        }
        var parts = [text("\(scenario.name): \(scenario.story)", at: (Measure.panelsAt[0], top + 14), weight: "bold")]
        let bottom = top + 40 + Measure.panel.height
        for (panel, title) in zip(
            Measure.panelsAt, ["requests a second, the most within a point", "files with a valid token"])
        {
            parts.append(text(title, at: (panel, top + 32), colour: "#555"))
            if let outage = scenario.outage {
                let left = across(outage.from.inSeconds)
                let width = across((outage.from + outage.lasting).inSeconds) - left
                parts.append(
                    #"<rect x="\#((panel + left).digits)" y="\#((top + 40).digits)" width="\#(width.digits)" "#
                        + #"height="\#(Measure.panel.height.digits)" fill="gainsboro"/>"#)
            }
            parts.append(line(from: (panel, bottom), to: (panel + Measure.panel.width, bottom), stroke: "#999"))
            let step = shown.to - shown.from > 6_000 ? 1_800.0 : 600.0
            let origin = scenario.outage?.from.inSeconds ?? 0
            var mark = origin - ((origin - shown.from) / step).rounded(.down) * step
            while mark <= shown.to {
                let x = panel + across(mark)
                parts.append(line(from: (x, bottom), to: (x, bottom + 4), stroke: "#999"))
                parts.append(
                    text("\(Int((mark - origin) / 60)) min", at: (x, bottom + 16), colour: "#555", anchor: "middle"))
                mark += step
            }
        }
        for decade in 0...4 {
            let y = bottom - Double(decade) / Measure.decades * Measure.panel.height
            parts.append(line(from: (Measure.panelsAt[0], y), to: (Measure.panelsAt[0] - 4, y), stroke: "#999"))
            parts.append(
                text(
                    "\(Int(pow(10, Double(decade))))", at: (Measure.panelsAt[0] - 7, y + 4), colour: "#555",
                    anchor: "end"))
        }
        for share in [0, 50, 100] {
            let y = bottom - Double(share) / 100 * Measure.panel.height
            parts.append(line(from: (Measure.panelsAt[1], y), to: (Measure.panelsAt[1] - 4, y), stroke: "#999"))
            parts.append(text("\(share) %", at: (Measure.panelsAt[1] - 7, y + 4), colour: "#555", anchor: "end"))
        }
        for record in row.records.reversed() {
            let colour = Self.colours[record.kind] ?? "#000"
            let requests = points(record.requests, of: scenario) { seconds in
                let most = Double(seconds.max() ?? 0)
                return most < 1 ? 0 : (log10(most) + 0.02) / Measure.decades
            }
            let valid = points(record.valid, of: scenario) { Double($0.min() ?? 0) / Double(agents) }
            for (panel, curve) in zip(Measure.panelsAt, [requests, valid]) {
                let path = curve.enumerated().map { index, height in
                    let x = panel + (Double(index) + 0.5) / Double(curve.count) * Measure.panel.width
                    return "\(x.digits),\((bottom - height * Measure.panel.height).digits)"
                }
                parts.append(
                    #"<polyline fill="none" stroke="\#(colour)" stroke-width="1.2" points="\#(path.joined(separator: " "))"/>"#
                )
            }
        }
        return parts
    }

    /// The shown seconds in equal stretches, each as a height between 0 and 1.
    private func points(
        _ seconds: [Int], of scenario: FleetScenario, height: (ArraySlice<Int>) -> Double
    ) -> [Double] {
        let shown = seconds[Int(scenario.shownFrom.components.seconds)..<Int(scenario.duration.components.seconds)]
        let stretch = max(1, shown.count / Measure.points)
        return stride(from: shown.startIndex, to: shown.endIndex, by: stretch).map {
            height(shown[$0..<min($0 + stretch, shown.endIndex)])
        }
    }

    private func line(
        from: (Double, Double), to: (Double, Double), stroke: String, width: Double = 1
    ) -> String {
        #"<line x1="\#(from.0.digits)" y1="\#(from.1.digits)" x2="\#(to.0.digits)" y2="\#(to.1.digits)" "#
            + #"stroke="\#(stroke)" stroke-width="\#(width.digits)"/>"#
    }

    private func text(
        _ words: String, at place: (Double, Double), colour: String = "#222", anchor: String = "start",
        weight: String = "normal"
    ) -> String {
        #"<text x="\#(place.0.digits)" y="\#(place.1.digits)" fill="\#(colour)" text-anchor="\#(anchor)" "#
            + #"font-weight="\#(weight)">\#(words)</text>"#
    }

    // MARK: The table

    /// In Markdown, a line for each scenario and kind.
    package var table: String {
        var lines = [
            "| scenario | | most requests in a second | requests in half an hour | of these 429 | least valid | last agent fresh after |",
            "|---|---|---|---|---|---|---|",
        ]
        for record in rows.flatMap(\.records) {
            let least = Double(record.leastValid) / Double(record.agents) * 100
            lines.append(
                "| \(record.scenario.name) | \(record.kind.rawValue) | \(record.peak) | \(record.requestsInHalfAnHour) | "
                    + "\(record.throttledInHalfAnHour) | "
                    + "\(Int(least.rounded(.down))) % | \(record.lastFreshAfter?.text ?? "not within the scenario") |")
        }
        return lines.joined(separator: "\n")
    }
}

extension Double {
    /// With one decimal.
    fileprivate var digits: String {
        let tenths = Int((self * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths < 0 ? "-" : "")\(abs(tenths) / 10).\(abs(tenths) % 10)"
    }
}
