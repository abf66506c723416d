// Configuration: single values of the file held against the shape that the table gives them.

private import Timekeeping

extension SourceNode.Value {
    /// What it is, for a message; the content of strings stays out, it might be a secret in the wrong place.
    var kind: String {
        switch self {
        case .null: "null"
        case .flag(let flag): "\(flag)"
        case .number(let number): "the number \(number.prefix(40))"
        case .text: "a string"
        case .list: "a list"
        case .object: "an object"
        }
    }
}

extension Checker {
    mutating func value(_ key: ConfigurationKey, _ node: SourceNode, _ path: String) -> CheckedValue? {
        if node.value == .null, key.nullable { return CheckedValue.none }
        switch (key.shape, node.value) {
        case (.text(let rule), .text(let text)):
            return tidied(text, rule, node, path).map { .text($0) }
        case (.textOrList(let rule), .text(let text)):
            return tidied(text, rule, node, path).map { .texts([$0]) }
        case (.textOrList(let rule), .list), (.list(of: let rule), .list):
            return texts(rule, node, path).map { .texts($0) }
        case (.choice(let choices), .text(let text)):
            if choices.contains(text) { return .text(text) }
            problems.add(
                node.offset, path, "found \(quoted(text)), expected \(key.shape.expectation)",
                Suggestion.nearest(to: text, among: choices).map { "Did you mean \(quoted($0))?" } ?? "")
        case (.flag, .flag(let flag)):
            return .flag(flag)
        case (.duration(let range, let whole), .text(let text)):
            return duration(text, range, whole: whole, node, path)
        case (.mode, .text(let text)):
            return mode(text, node, path)
        default:
            problems.add(
                node.offset, path, "found \(node.value.kind), expected \(key.shape.expectation)",
                remedy(for: node.value, key.shape))
        }
        return nil
    }

    /// The elements of a list that is neither empty nor longer than `limit`.
    mutating func elements(_ node: SourceNode, _ path: String, limit: Int) -> [SourceNode]? {
        guard case .list(let nodes) = node.value else {
            problems.add(
                node.offset, path, "found \(node.value.kind), expected a list",
                "Put it in brackets, even where there is only one")
            return nil
        }
        guard !nodes.isEmpty else {
            problems.add(node.offset, path, "the list is empty, expected at least one element")
            return nil
        }
        guard nodes.count <= limit else {
            problems.add(node.offset, path, "the list has \(nodes.count) elements, expected at most \(limit)")
            return nil
        }
        return nodes
    }

    private mutating func tidied(_ text: String, _ rule: TextRule, _ node: SourceNode, _ path: String) -> String? {
        do {
            return try rule.tidy(text, PathContext(credentialsDirectory: environment["CREDENTIALS_DIRECTORY"]))
        } catch {
            problems.add(
                node.offset, path, "\(rule.shown(text)) \(error.observed), expected \(rule.expectation)", error.remedy)
            return nil
        }
    }

    private mutating func texts(_ rule: TextRule, _ list: SourceNode, _ path: String) -> [String]? {
        guard let nodes = elements(list, path, limit: KeyTable.listLimit) else { return nil }
        var texts: [String] = []
        for (index, node) in nodes.enumerated() {
            let here = "\(path)[\(index)]"
            guard case .text(let text) = node.value else {
                problems.add(node.offset, here, "found \(node.value.kind), expected \(rule.expectation)")
                return nil
            }
            guard let tidy = tidied(text, rule, node, here) else { return nil }
            texts.append(tidy)
        }
        return texts
    }

    private mutating func duration(
        _ text: String, _ range: ClosedRange<Duration>, whole: Bool, _ node: SourceNode, _ path: String
    ) -> CheckedValue? {
        guard let duration = Duration(text: text) else {
            problems.add(
                node.offset, path,
                "found \(quoted(text)), expected a duration such as \"30s\", \"5m\" or \"1h30m\"",
                "Whole numbers, each with a unit: ms, s, m, h, d, the largest first")
            return nil
        }
        guard range.contains(duration) else {
            problems.add(
                node.offset, path,
                "found \(quoted(text)), expected \(range.lowerBound.text) to \(range.upperBound.text)")
            return nil
        }
        guard !whole || duration.components.attoseconds == 0 else {
            problems.add(
                node.offset, path, "found \(quoted(text)), expected whole seconds", "Vault counts it in seconds")
            return nil
        }
        return .duration(duration)
    }

    private mutating func mode(_ text: String, _ node: SourceNode, _ path: String) -> CheckedValue? {
        let digits = text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "7")).contains($0) }
        guard digits, (3...4).contains(text.utf8.count), let mode = UInt16(text, radix: 8), mode <= 0o777 else {
            problems.add(
                node.offset, path, "found \(quoted(text)), expected three octal digits, such as \"0640\"",
                "Set-user, set-group and sticky bits are not taken")
            return nil
        }
        guard mode & 0o002 == 0 else {
            problems.add(
                node.offset, path, "mode \(quoted(text)) lets everybody write the token, expected one that does not")
            return nil
        }
        return .mode(mode)
    }

    /// What to write instead of a value of the wrong type.
    private func remedy(for value: SourceNode.Value, _ shape: Shape) -> String {
        switch (shape, value) {
        case (.mode, .number(let number)):
            let meant = number.utf8.allSatisfy { (0x30...0x37).contains($0) } && number.utf8.count == 3 ? number : "640"
            let octal = UInt64(number).map { ", here mode 0\(String($0, radix: 8))" } ?? ""
            return "JSON reads numbers as decimal\(octal). Write \"0\(meant)\""
        case (.duration, .number(let number)):
            return "A number does not say its unit. Write \"\(number.prefix(20))s\" for seconds"
        case (.flag, .text(let text)) where text == "true" || text == "false":
            return "Take the quotes away"
        case (.text, .number), (.choice, .number): return "Put it in quotes"
        case (.list, .text(let text)): return "Write [\(quoted(text))]"
        case (_, .null): return "Leave the key out to have its default"
        default: return ""
        }
    }
}
