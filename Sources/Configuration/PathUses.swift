// Configuration: who reads and who writes where. Nobody may write where another reads or writes.

private import ServiceHealth

/// The files and sockets of one configuration, by path.
struct PathUses {
    /// Where relative paths begin.
    let workingDirectory: String
    private var users: [String: (name: String, writes: Bool)] = [:]
    private var stateDirectory: String?

    init(workingDirectory: String) {
        self.workingDirectory = workingDirectory
    }

    /// Says who was there before, where the two may not share the path.
    @discardableResult
    mutating func note(_ path: String, by name: String, writes: Bool) -> String? {
        let path = plain(path)
        if writes, let stateDirectory, Self.isRecord(Self.lastName(path)) {
            users["\(stateDirectory)/\(Self.lastName(path))"] = ("a record in state_directory", true)
        }
        let before = users[path]
        if writes || before == nil { users[path] = (name, writes) }
        return before.flatMap { writes || $0.writes ? $0.name : nil }
    }

    /// What the agent writes there for itself is noted where another would.
    mutating func keepState(in directory: String) {
        stateDirectory = plain(directory)
        for path in AgentLock.paths(directory, nil) { note(path, by: "the lock of state_directory", writes: true) }
    }

    /// Where others than these read or write under the same last name, and who: one file with one of these, where a directory on
    /// the way is a link.
    func namesakes(of paths: [String]) -> [String: String] {
        let names = Set(paths.map(Self.lastName))
        let paths = Set(paths)
        return users.filter { names.contains(Self.lastName($0.key)) && !paths.contains($0.key) }.mapValues(\.name)
    }

    private static func isRecord(_ name: Substring) -> Bool {
        ["nonce-", "region-", "takeover-"].contains(where: name.hasPrefix)
    }

    private static func lastName(_ path: String) -> Substring {
        path[(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)...]
    }

    /// The path as its names alone tell it: links are not followed.
    private func plain(_ path: String) -> String {
        var names: [Substring] = []
        let whole = path.hasPrefix("/") ? path : "\(workingDirectory)/\(path)"
        for name in whole.split(separator: "/") where name != "." {
            if name == ".." { _ = names.popLast() } else { names.append(name) }
        }
        return "/" + names.joined(separator: "/")
    }
}
