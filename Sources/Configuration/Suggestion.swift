// Configuration: what somebody may have meant by a key that the file does not have.

/// What to say about an unknown key.
package enum Suggestion {
    /// The remedy for `name`, found in `section`.
    static func remedy(for name: String, in section: Section) -> String {
        if let known = habits.first(where: { $0.name == name && ($0.title ?? section.title) == section.title }) {
            return known.remedy
        }
        if let nearest = nearest(to: name, among: section.keys.map(\.name)) {
            return "Did you mean \(quoted(nearest))?"
        }
        let homes = places(of: name, in: KeyTable.root, at: "")
        if !homes.isEmpty {
            return "The key stands elsewhere: \(homes.prefix(3).joined(separator: ", "))"
        }
        let names = section.keys.map(\.name).filter { $0 != "$schema" }
        return "\(section.title) has the keys \(names.joined(separator: ", "))"
    }

    /// The name at the least edit distance, if that is at most a third of the length; the first of equals.
    package static func nearest(to name: String, among names: [String]) -> String? {
        guard name.count <= 64 else { return nil }
        let folded = name.lowercased().map { $0 == "-" ? "_" : $0 }
        let ranked = names.map { (name: $0, distance: distance(folded, Array($0))) }
        guard let best = ranked.min(by: { $0.distance < $1.distance }),
            best.distance <= max(1, min(folded.count, best.name.count) / 3)
        else { return nil }
        return best.name
    }

    /// Insertions, deletions, replacements and swaps of neighbours that lead from one to the other.
    static func distance(_ left: [Character], _ right: [Character]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...right.count)
        for row in 0..<left.count {
            var current = [row + 1]
            for column in 0..<right.count {
                var least = min(
                    last[column] + (left[row] == right[column] ? 0 : 1), last[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    least = min(least, beforeLast[column - 1] + 1)
                }
                current.append(least)
            }
            (beforeLast, last) = (last, current)
        }
        return last[right.count]
    }

    /// Paths at which the file has a key of that name.
    private static func places(of name: String, in section: Section, at path: String) -> [String] {
        section.keys.flatMap { key in
            let here = path.isEmpty ? key.name : "\(path).\(key.name)"
            let inside: [String] =
                switch key.shape {
                case .section(let inner): places(of: name, in: inner, at: here)
                case .sections(let inner): places(of: name, in: inner, at: here + "[]")
                default: []
                }
            return (key.name == name ? [here] : []) + inside
        }
    }

    /// Keys that people bring along from elsewhere; `title` is the section in which that is what they mean.
    private static let habits: [(name: String, title: String?, remedy: String)] = [
        (
            "nonce", nil,
            "A nonce is a secret: put it into a file and name that by \"nonce_file\", or leave it to the agent"
        ),
        ("access_key", nil, keys), ("secret_key", nil, keys), ("session_token", nil, keys),
        ("access_key_id", nil, keys), ("secret_access_key", nil, keys),
        ("auto_auth", nil, "Write \"tokens\": see docs/migrating-from-vault-agent.md"),
        ("method", nil, "Write \"auth\": see docs/migrating-from-vault-agent.md"),
        ("sink", nil, "Write \"sinks\", a list"),
        ("config", nil, "Its keys stand here directly, without \"config\""),
        ("tls_skip_verify", nil, "Write \"tls\": { \"skip_verify\": true }"),
        ("tls_server_name", nil, "Write \"tls\": { \"server_name\": … }"),
        ("retry", nil, "Retries are not configured: see docs/operations.md"),
        ("min_backoff", nil, "Retries are not configured: see docs/operations.md"),
        ("max_backoff", nil, "Retries are not configured: see docs/operations.md"),
        ("exit_after_auth", nil, "Run \"vault-token-agent login\" instead"),
        ("pid_file", "The file", "There is none: systemd and container runtimes know the process"),
        ("template", nil, "The agent writes tokens only; see docs/migrating-from-vault-agent.md"),
        ("cache", nil, "The agent writes tokens only; see docs/migrating-from-vault-agent.md"),
        ("listener", nil, "The agent writes tokens only; \"metrics.listen\" serves metrics and health"),
    ]

    private static let keys =
        "AWS keys do not belong here: the agent finds them as the AWS CLI does, see \"credentials\""
}
