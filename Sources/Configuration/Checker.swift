// Configuration: holds the file, the environment and the flags against the table of keys.

internal import Diagnosis
private import Timekeeping

/// Values given outside the file, by the path of the key that they stand for: `vault.address`.
package struct ConfigurationOverrides: Sendable {
    package private(set) var values: [String: String] = [:]

    package init() {}

    /// Sets the value of a flag; nil leaves it unset. Traps for a key that has no flag.
    package mutating func set(_ key: String, _ value: String?) {
        precondition(FlaggedKeys.all.contains { $0.path == key && $0.flag != nil }, "\(key) has no flag")
        values[key] = value
    }
}

/// The keys that may be given outside the file.
enum FlaggedKeys {
    static let all: [(path: String, flag: String?, variables: [String])] = collect(KeyTable.root, "")

    private static func collect(_ section: Section, _ path: String) -> [(
        path: String, flag: String?, variables: [String]
    )] {
        section.keys.flatMap { key in
            let here = path.isEmpty ? key.name : "\(path).\(key.name)"
            if case .section(let inner) = key.shape { return collect(inner, here) }
            return key.flag == nil && key.variables.isEmpty ? [] : [(here, key.flag, key.variables)]
        }
    }
}

/// What is wrong, in the order found; bounded.
struct Problems {
    /// More are not counted: the first ones explain the rest.
    static let limit = 20

    let source: SourceText
    private(set) var errors: [AgentError] = []

    var isFull: Bool { errors.count == Self.limit }

    mutating func add(_ offset: Int?, _ path: String, _ observed: String, _ remedy: String = "") {
        guard !isFull else { return }
        let place = offset.map { source.place($0) } ?? source.path
        add(outside: path.isEmpty ? place : "\(place): \(path)", observed, remedy)
    }

    /// For a value from a flag or the environment. What several tokens inherit is complained of once.
    mutating func add(outside name: String, _ observed: String, _ remedy: String = "") {
        let error = AgentError(.configurationInvalid, "\(name): \(observed)", remedy: remedy)
        guard !isFull, !errors.contains(error) else { return }
        errors.append(error)
    }
}

/// One check of one file.
struct Checker {
    let environment: [String: String]
    let overrides: ConfigurationOverrides
    let workingDirectory: String
    var problems: Problems
    /// The file's own sections that have been checked, for those that inherit from them.
    private var topLevelSections: [String: CheckedSection] = [:]

    init(
        environment: [String: String], overrides: ConfigurationOverrides, workingDirectory: String, problems: Problems
    ) {
        self.environment = environment
        self.overrides = overrides
        self.workingDirectory = workingDirectory
        self.problems = problems
    }

    /// The section that `node` holds, or stands in for where there is none.
    ///
    /// - Parameters:
    ///   - parent: The section whose values hold where this one is silent; nil: the defaults do.
    ///   - topLevel: Whether flags and environment speak before the file.
    mutating func check(
        _ section: Section, _ node: SourceNode?, path: String, below parent: CheckedSection? = nil, topLevel: Bool
    ) -> CheckedSection {
        var checked = CheckedSection(path: path, section: section, offset: node?.offset, inherits: parent != nil)
        var failed: Set<String> = []
        guard let members = members(of: node, section, path) else { return checked }
        for key in section.keys {
            let member = members[key.name]
            let count = problems.errors.count
            if topLevel, let outside = valueFromOutside(key, checked.path(of: key.name)) {
                checked.values[key.name] = outside
            } else if let member {
                checked.values[key.name] = given(key, member, checked, above(key, parent), topLevel: topLevel)
            } else if let parent, var inherited = parent.values[key.name] {
                inherited.inheritedFrom = parent.path(of: key.name)
                checked.values[key.name] = inherited
            } else if parent == nil {
                checked.values[key.name] = fallback(key, checked, above(key, parent), topLevel: topLevel)
            }
            if path.isEmpty, let section = checked.subsection(key.name) { topLevelSections[key.name] = section }
            if problems.errors.count > count { failed.insert(key.name) }
        }
        settleConditions(&checked, failed)
        return checked
    }

    /// The members by key, without unknown and repeated ones; nil for what is no object.
    private mutating func members(
        of node: SourceNode?, _ section: Section, _ path: String
    ) -> [String: SourceNode.Member]? {
        guard let node else { return [:] }
        guard case .object(let given) = node.value else {
            problems.add(
                node.offset, path, "found \(node.value.kind), expected an object",
                "\(section.title) is written in braces")
            return nil
        }
        var members: [String: SourceNode.Member] = [:]
        for member in given where !problems.isFull {
            let here = jsonPath(path, member.key)
            if section.key(member.key) == nil, member.key != Section.comment {
                problems.add(
                    member.offset, here, "unknown key",
                    Suggestion.remedy(for: member.key, in: section))
            } else if let first = members[member.key] {
                problems.add(
                    member.offset, here, "given twice, first in line \(problems.source.line(first.offset))",
                    "Keep one of them")
            } else {
                members[member.key] = member
                guard member.key == Section.comment else { continue }
                if case .text = member.node.value { continue }
                problems.add(
                    member.node.offset, here, "found \(member.node.value.kind), expected a string",
                    "A comment is text in quotes")
            }
        }
        return members
    }

    // MARK: One key

    /// The section that holds where the one under `key` is silent.
    private func above(_ key: ConfigurationKey, _ parent: CheckedSection?) -> CheckedSection? {
        key.inheritsTopLevel ? topLevelSections[key.name] : parent?.subsection(key.name)
    }

    private mutating func given(
        _ key: ConfigurationKey, _ member: SourceNode.Member, _ checked: CheckedSection, _ above: CheckedSection?,
        topLevel: Bool
    ) -> SourcedValue? {
        let path = checked.path(of: key.name)
        let found: CheckedValue?
        switch key.shape {
        case .section(let inner):
            found = .section(check(inner, member.node, path: path, below: above, topLevel: topLevel))
        case .sections(let inner):
            found = elements(member.node, path, limit: key.elementLimit)
                .map { nodes in
                    .sections(
                        nodes.enumerated().map { index, node in
                            check(inner, node, path: "\(path)[\(index)]", topLevel: false)
                        })
                }
        default:
            found = value(key, member.node, path)
        }
        return found.map {
            SourcedValue(
                value: $0, origin: .file(line: problems.source.line(member.offset)), offset: member.node.offset)
        }
    }

    private mutating func fallback(
        _ key: ConfigurationKey, _ checked: CheckedSection, _ above: CheckedSection?, topLevel: Bool
    ) -> SourcedValue? {
        let path = checked.path(of: key.name)
        switch (key.fallback, key.shape) {
        case (.required, _):
            // Flags and environment may bring the address; `Assembler` misses it where no token has one.
            guard key.isRequiredInFile else { return nil }
            problems.add(checked.offset, path, "missing, expected \(key.shape.expectation)")
            return nil
        case (.keys, .section(let inner)):
            return SourcedValue(
                value: .section(check(inner, nil, path: path, below: above, topLevel: topLevel)), origin: .fallback)
        case (.value(let text), _):
            return parsed(text, key.shape).map { SourcedValue(value: $0, origin: .fallback) }
        default:
            return nil
        }
    }

    /// The value of a flag, or of a variable that is not empty.
    private mutating func valueFromOutside(_ key: ConfigurationKey, _ path: String) -> SourcedValue? {
        var outside: (text: String, origin: ValueOrigin, name: String)?
        if let flag = key.flag, let text = overrides.values[path] {
            outside = (text, .flag(flag), flag)
        } else if let (name, text) = VaultVariables.first(of: key.variables, in: environment) {
            outside = (text, .environment(name), name)
        }
        guard let (text, origin, name) = outside else { return nil }
        switch key.shape {
        case .text(let rule), .textOrList(let rule):
            let context = PathContext(
                credentialsDirectory: environment["CREDENTIALS_DIRECTORY"], workingDirectory: workingDirectory)
            do {
                let text = try rule.tidy(text, context)
                if case .textOrList = key.shape { return SourcedValue(value: .texts([text]), origin: origin) }
                return SourcedValue(value: .text(text), origin: origin)
            } catch {
                problems.add(
                    outside: name, "\(rule.shown(text)) \(error.observed), expected \(rule.expectation)", error.remedy)
            }
        default:
            if let value = fromOutside(text, key.shape) { return SourcedValue(value: value, origin: origin) }
            problems.add(outside: name, "found \(quoted(text)), expected \(key.shape.expectation)")
        }
        return nil
    }

    /// A word from outside, in a shape that has no rule of its own. Of durations a bare number counts seconds, as Vault's
    /// own tools have it.
    private func fromOutside(_ text: String, _ shape: Shape) -> CheckedValue? {
        guard case .duration(let range, _) = shape else { return parsed(text, shape) }
        let seconds = text.utf8.allSatisfy { 0x30...0x39 ~= $0 } ? Int64(text) : nil
        guard let duration = seconds.map({ .seconds($0) }) ?? Duration(text: text), range.contains(duration) else {
            return nil
        }
        return .duration(duration)
    }

    /// A default, or a word from outside, in a shape that has no rule of its own.
    private func parsed(_ text: String, _ shape: Shape) -> CheckedValue? {
        switch shape {
        case .text: .text(text)
        case .choice(let choices): choices.contains(text) ? .text(text) : nil
        case .duration: Duration(text: text).map { .duration($0) }
        case .mode: UInt16(text, radix: 8).map { .mode($0) }
        case .flag:
            // The words that Vault's own tools take.
            switch text {
            case "1", "t", "T", "true", "TRUE", "True": .flag(true)
            case "0", "f", "F", "false", "FALSE", "False": .flag(false)
            default: nil
            }
        default: nil
        }
    }

    /// Takes away what does not count here, complains where somebody set it, and fills in defaults that depend on it.
    private mutating func settleConditions(_ checked: inout CheckedSection, _ failed: Set<String>) {
        for key in checked.section.keys {
            if case .byChoice(let other, let values) = key.fallback, checked.values[key.name] == nil,
                !failed.contains(key.name), let text = values.first(where: { $0.choice == checked.text(other) })?.value
            {
                checked.values[key.name] = parsed(text, key.shape).map { SourcedValue(value: $0, origin: .fallback) }
            }
            guard let condition = key.condition, !failed.contains(condition.key) else { continue }
            let actual = checked.text(condition.key)
            if let actual, condition.values.contains(actual) { continue }
            if checked.isSet(key.name) {
                let wanted = condition.values.map(quoted).joined(separator: " or ")
                problems.add(
                    checked.offset(of: key.name), checked.path(of: key.name),
                    "counts only with \(quoted(condition.key)) \(wanted), "
                        + (actual.map { "which is \(quoted($0))" } ?? "which is not set"),
                    "Take one of them out")
            }
            checked.values[key.name] = nil
        }
    }
}
