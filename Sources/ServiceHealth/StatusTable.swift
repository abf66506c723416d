// ServiceHealth: the table that `status` prints. Pure.

private import Diagnosis
package import Timekeeping
private import TokenLifecycle

/// What a terminal can show beside plain text.
package enum TableStyle: Sendable {
    case plain, coloured

    fileprivate enum Colour: Int {
        case red = 31
        case green = 32
        case yellow = 33
    }

    fileprivate func paint(_ text: String, _ colour: Colour?) -> String {
        guard self == .coloured, let colour else { return text }
        return "\u{1B}[\(colour.rawValue)m\(text)\u{1B}[0m"
    }
}

extension StatusReading {
    /// A line about the agent, a line for each token, and under it what ails it. Colours say again what words say.
    package func table(at now: WallTime, style: TableStyle = .plain) -> String {
        let rows =
            [["TOKEN", "STATE", "VALID UNTIL", "LEASE LEFT", "NEXT", "SINKS"]]
            + document.tokens.map { token in
                [
                    token.name, token.phase, token.validity(at: now), token.leaseBar(at: now), token.next(at: now),
                    "\(token.sinks.count(where: \.delivered))/\(token.sinks.count)",
                ].map { printable($0, limit: 200) }
            }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        func line(_ row: [String], _ colours: [TableStyle.Colour?]) -> String {
            let cells = zip(zip(row, widths), colours).map { cell, colour in
                style.paint(cell.0, colour) + String(repeating: " ", count: cell.1 - cell.0.count)
            }
            return String(trimmed(cells.joined(separator: "  ")))
        }
        var text = summary(at: now, style) + "\n\n" + line(rows[0], rows[0].map { _ in nil }) + "\n"
        for (row, token) in zip(rows.dropFirst(), document.tokens) {
            text += line(row, [nil, token.phaseColour, nil, token.leaseColour(at: now), nil, token.sinkColour]) + "\n"
            for detail in token.ailments(at: now) + token.endurance(at: now) { text += "  \(detail)\n" }
        }
        return text
    }

    private func summary(at now: WallTime, _ style: TableStyle) -> String {
        let reasons = reasonsAgainstHealth(at: now)
        let started = WallTime(rfc3339: document.startedAt).map { ", up \((now - $0).text)" } ?? ""
        var text = "vault-token-agent \(printable(document.version, limit: 64)), process \(document.pid)\(started), "
        text += "last heartbeat \(max(.zero, now - heartbeat).text) ago: "
        text += reasons.isEmpty ? style.paint("healthy", .green) : style.paint("NOT HEALTHY", .red)
        if let refused = document.configurationTrouble {
            text += "\nThe last reload was refused, the configuration before it is in force: " + refused.sentence
        }
        if let seconds = document.clockBehindSeconds, seconds != 0 {
            text +=
                "\nThis machine's clock is \(Duration.seconds(Int64(clamping: seconds.magnitude)).text) "
                + "\(seconds < 0 ? "ahead of" : "behind") that of AWS STS, by which logins are signed: set it right"
        }
        if let directories = document.confinedTo {
            text += "\nCan write nowhere but below \(printable(directories.joined(separator: ", "), limit: 1_000))"
        }
        for listener in document.listeners {
            guard let trouble = listener.trouble else { continue }
            let place = "\(printable(listener.serves, limit: 64)) at \(printable(listener.address, limit: 200))"
            text += "\nNobody can ask for \(place) \(trouble.report(at: now))"
        }
        for reason in reasons { text += "\n- \(reason)" }
        return text
    }

    private func trimmed(_ line: String) -> Substring {
        var line = Substring(line)
        while line.last == " " { line.removeLast() }
        return line
    }
}

extension StatusDocument.Token {
    fileprivate func validity(at now: WallTime) -> String {
        if neverExpires { return "never expires" }
        return Self.moment(validUntil, at: now)
    }

    fileprivate func next(at now: WallTime) -> String {
        guard let nextStep else { return "-" }
        let step = firstTrouble == nil ? nextStep : "try again"
        return nextAt == nil ? step : "\(step) \(Self.moment(nextAt, at: now))"
    }

    /// `10:12:03Z (in 13m52s)`, `10:12:03Z (2s ago)`, `-`.
    private static func moment(_ text: String?, at now: WallTime) -> String {
        guard let text, let time = WallTime(rfc3339: text) else { return "-" }
        let distance = time - now
        let words = distance >= .zero ? "in \(distance.text)" : "\((.zero - distance).text) ago"
        return "\(time.clock(from: now)) (\(words))"
    }

    fileprivate func ailments(at now: WallTime) -> [String] {
        let own = trouble.map { [$0.report(at: now)] } ?? []
        return own
            + sinks.compactMap { sink in
                sink.trouble.map { "\(printable(sink.name, limit: 200)): \($0.report(at: now))" }
            }
    }

    /// What readers live on while Vault, or AWS, is away.
    fileprivate func endurance(at now: WallTime) -> [String] {
        guard let outageBudget else { return [] }
        guard let vault = outageBudget.withoutVaultUntil else { return ["survives any outage of Vault or AWS"] }
        let words = "survives an outage of Vault until \(Self.moment(vault, at: now))"
        guard let aws = outageBudget.withoutAWSUntil else { return [words + ", any of AWS"] }
        guard outageBudget.renewedWithoutAWS else { return [words + ", of AWS until \(Self.moment(aws, at: now))"] }
        return [words + ", of AWS as long as Vault renews it"]
    }

    /// How much of the lease is left, from 0 to 1; nil: there is none, or its length is not known.
    private func leaseLeft(at now: WallTime) -> Double? {
        guard !neverExpires, let leaseSeconds, leaseSeconds > 0, let end = validUntil.flatMap({ WallTime(rfc3339: $0) })
        else { return nil }
        return min(1, max(0, (end - now).inSeconds / Double(leaseSeconds)))
    }

    /// `[######....]  60 %`
    fileprivate func leaseBar(at now: WallTime) -> String {
        guard let left = leaseLeft(at: now) else { return "-" }
        let (cells, percent) = (10, Int((left * 100).rounded(.down)))
        let full = min(cells, Int((left * Double(cells)).rounded(.up)))
        let number = String(repeating: " ", count: 3 - String(percent).count) + String(percent)
        return "[" + String(repeating: "#", count: full) + String(repeating: ".", count: cells - full) + "] \(number) %"
    }

    /// A healthy agent renews with more than a third left.
    fileprivate func leaseColour(at now: WallTime) -> TableStyle.Colour? {
        leaseLeft(at: now).map { $0 > 1.0 / 3 ? .green : $0 > 0.1 ? .yellow : .red }
    }

    fileprivate var phaseColour: TableStyle.Colour {
        switch TokenHealth.Phase(rawValue: phase) {
        case .fresh: .green
        case .starting, .struggling: .yellow
        case .lost, .stopped, nil: .red
        }
    }

    fileprivate var sinkColour: TableStyle.Colour? {
        sinks.allSatisfy(\.delivered) ? nil : .red
    }
}

extension StatusDocument.Failure {
    fileprivate func report(at now: WallTime) -> String {
        guard let since, let began = WallTime(rfc3339: since) else { return sentence }
        let times = attempts.map { $0 == 1 ? ", once" : ", \($0) times" } ?? ""
        return "since \(began.clock(from: now))\(times): \(sentence)"
    }
}
