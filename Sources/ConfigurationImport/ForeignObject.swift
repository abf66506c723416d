// ConfigurationImport: an object of the foreign file, taken apart key by key. What nobody took is what was left out.

internal import Configuration
private import Timekeeping

/// What was left out or read otherwise, and why; `offset` is where it stands.
struct Remark: Equatable {
    let offset: Int
    /// `auto_auth.method.config.nonce`.
    let path: String
    let reason: String
}

/// The members of one object or block that have not been taken yet.
struct ForeignObject {
    /// Empty for the file itself.
    let path: String
    let offset: Int
    /// A block's label: the one key of an object that holds nothing else.
    let label: String?
    private var members: [SourceNode.Member]

    init(path: String, offset: Int, label: String? = nil, members: [SourceNode.Member]) {
        self.path = path
        self.offset = offset
        self.label = label
        self.members = members
    }

    func path(of key: String) -> String {
        path.isEmpty ? key : "\(path).\(key)"
    }

    /// What is still there, in the order of the file.
    var rest: [(offset: Int, key: String)] {
        members.map { ($0.offset, $0.key) }
    }

    func has(_ key: String) -> Bool {
        members.contains { $0.key == key }
    }

    /// The value of `key`; the last one, where it stands several times, as Vault Agent has it.
    mutating func take(_ key: String) -> SourceNode? {
        let found = members.last { $0.key == key }
        members.removeAll { $0.key == key }
        return found?.node
    }

    /// The blocks of that name: an object each, or a list of objects, with its label as a key around it. Nil where one of
    /// them is no object.
    mutating func takeBlocks(_ key: String, labelled: Bool = false) -> [ForeignObject]? {
        let found = members.filter { $0.key == key }
        members.removeAll { $0.key == key }
        var blocks: [ForeignObject] = []
        for member in found {
            let nodes: [SourceNode] =
                if case .list(let elements) = member.node.value { elements } else { [member.node] }
            for node in nodes {
                guard case .object(let inner) = node.value else { return nil }
                let block = ForeignObject(path: path(of: key), offset: node.offset, members: inner)
                blocks.append(labelled ? block.unwrapped : block)
            }
        }
        return blocks
    }

    /// `{"aws": {…}}` as the block `"aws" {…}`.
    private var unwrapped: ForeignObject {
        guard members.count == 1, let only = members.first, only.key != "config" else { return self }
        let node: SourceNode =
            if case .list(let elements) = only.node.value, elements.count == 1 { elements[0] } else { only.node }
        guard case .object(let inner) = node.value else { return self }
        return ForeignObject(path: path, offset: node.offset, label: only.key, members: inner)
    }
}

extension SourceNode {
    /// A string, or what Vault Agent takes for one.
    var text: String? {
        switch value {
        case .text(let text), .number(let text): text
        case .flag(let flag): flag ? "true" : "false"
        case .null, .list, .object: nil
        }
    }

    var flag: Bool? {
        switch value {
        case .flag(let flag): flag
        case .text(let text), .number(let text):
            switch text {
            case "true", "True", "TRUE", "t", "T", "1": true
            case "false", "False", "FALSE", "f", "F", "0": false
            default: nil
            }
        case .null, .list, .object: nil
        }
    }

    /// As this agent's configuration writes it: "5m", "300s". A bare number counts seconds.
    var duration: String? {
        switch value {
        case .text(let text), .number(let text):
            if Duration(text: text) != nil {
                text
            } else if text.allSatisfy(\.isWholeNumber), Duration(text: "\(text)s") != nil {
                "\(text)s"
            } else {
                wholeSeconds(ofGoDuration: text).map { "\($0)s" }
            }
        case .flag, .null, .list, .object: nil
        }
    }

    /// As this agent's configuration writes it: "0640". HCL reads `0640` as octal and `0x1a0` as hexadecimal; JSON has decimal
    /// numbers only.
    var mode: String? {
        guard case .number(let text) = value else {
            if case .text(let text) = value, UInt16(text, radix: 8) != nil { return text }
            return nil
        }
        let bits: UInt16? =
            if text.lowercased().hasPrefix("0x") {
                UInt16(text.dropFirst(2), radix: 16)
            } else {
                UInt16(text, radix: text.hasPrefix("0") ? 8 : 10)
            }
        guard let bits, bits <= 0o777 else { return nil }
        let digits = String(bits, radix: 8)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}

/// What Go's `time.ParseDuration` reads and this agent's configuration does not: fractions, units in any order and below ours
/// (`0.5h`, `1h30.5s`, `500us`). Rounded up. Nil for what Go does not read either, a sign, and more than
/// `Duration.longestInText`.
private func wholeSeconds(ofGoDuration text: String) -> Int64? {
    let units: [Substring: Double] = [
        "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3_600,
    ]
    guard !text.isEmpty, text.utf8.count <= 40 else { return nil }
    var rest = Substring(text)
    var seconds = 0.0
    while !rest.isEmpty {
        let number = rest.prefix { $0 == "." || ("0"..."9").contains($0) }
        rest = rest.dropFirst(number.count)
        let letters = rest.prefix { $0 != "." && !("0"..."9").contains($0) }
        rest = rest.dropFirst(letters.count)
        // Go reads ".5s" and "5.s" too.
        let padded = "0\(number)\(number.contains(".") ? "0" : "")"
        guard number.contains(where: { $0 != "." }), let count = Double(padded), let unit = units[letters] else {
            return nil
        }
        seconds += count * unit
    }
    let longest = Double(Duration.longestInText.nanoseconds / 1_000_000_000)
    return seconds <= longest ? Int64(seconds.rounded(.up)) : nil
}
