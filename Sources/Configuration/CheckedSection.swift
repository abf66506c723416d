// Configuration: an object of the file after the check: every key that counts has a value of its shape.

private import Timekeeping

/// Where an effective value came from.
package enum ValueOrigin: Hashable, Sendable {
    case flag(String)
    case environment(String)
    /// Line of the file, from 1.
    case file(line: Int)
    case fallback
}

extension ValueOrigin: CustomStringConvertible {
    package var description: String {
        switch self {
        case .flag(let name): "flag \(name)"
        case .environment(let name): "environment \(name)"
        case .file(let line): "file, line \(line)"
        case .fallback: "default"
        }
    }
}

/// A checked value.
enum CheckedValue {
    case text(String)
    case texts([String])
    case flag(Bool)
    case duration(Duration)
    case mode(UInt16)
    case section(CheckedSection)
    case sections([CheckedSection])
    /// An explicit `null`.
    case none
}

/// A checked value, and where it came from.
struct SourcedValue {
    var value: CheckedValue
    var origin: ValueOrigin
    /// Where it stands in the file.
    var offset: Int?
    /// The path of the key that the value was given for, where that is another one.
    var inheritedFrom: String?
}

/// An object of the file, or what stands in for one that is not there.
struct CheckedSection {
    /// `tokens[0].auth`; empty for the file itself.
    let path: String
    let section: Section
    /// Where it stands in the file.
    let offset: Int?
    /// Whether another section's values hold where this one is silent.
    var inherits = false
    /// By key. Without those that have neither value nor default, or do not count here.
    var values: [String: SourcedValue] = [:]

    /// The path at which the value of `key` was given, or could be.
    func path(of key: String) -> String {
        values[key]?.inheritedFrom ?? jsonPath(path, key)
    }

    /// Where to point for a complaint about `key`.
    func offset(of key: String) -> Int? {
        values[key]?.offset ?? offset
    }

    /// Whether somebody set the key, to `null` or otherwise.
    func isSet(_ key: String) -> Bool {
        values[key].map { $0.origin != .fallback } ?? false
    }

    /// Whether the key has any meaning beside what the others say.
    func counts(_ key: ConfigurationKey) -> Bool {
        guard let condition = key.condition else { return true }
        return text(condition.key).map(condition.values.contains) ?? false
    }

    private func value(of key: String) -> CheckedValue? {
        assert(section.key(key) != nil, "\(section.title) has no key \(key)")
        return values[key]?.value
    }

    func text(_ key: String) -> String? {
        if case .text(let text) = value(of: key) { text } else { nil }
    }

    func texts(_ key: String) -> [String] {
        if case .texts(let texts) = value(of: key) { texts } else { [] }
    }

    /// False where the key does not count here.
    func flag(_ key: String) -> Bool {
        if case .flag(let flag) = value(of: key) { flag } else { false }
    }

    func duration(_ key: String) -> Duration? {
        if case .duration(let duration) = value(of: key) { duration } else { nil }
    }

    func mode(_ key: String) -> UInt16? {
        if case .mode(let mode) = value(of: key) { mode } else { nil }
    }

    func subsection(_ key: String) -> CheckedSection? {
        if case .section(let section) = value(of: key) { section } else { nil }
    }

    func subsections(_ key: String) -> [CheckedSection] {
        if case .sections(let sections) = value(of: key) { sections } else { [] }
    }
}

extension CheckedValue {
    /// As `config check` prints it.
    var text: String {
        switch self {
        case .text(let text): text.isEmpty ? "\"\"" : text
        case .texts(let texts): texts.joined(separator: " ")
        case .flag(let flag): flag ? "true" : "false"
        case .duration(let duration): duration.text
        case .mode(let mode): "0" + String(mode, radix: 8)
        case .section, .sections: ""
        case .none: "none"
        }
    }
}
