// FileWatch: the links on a path's way.

private import FileSystem
private import Glibc

/// All names that decide what a path leads to: each that is a symbolic link, and the last. A Kubernetes ConfigMap's file is
/// `config.json`, a link to `..data/config.json`, and `..data` a link that is replaced when the map changes.
package struct LinkChain: Hashable, Sendable {
    package struct Step: Hashable, Sendable {
        package let directory: String
        package let name: String
    }

    /// As the kernel bears them.
    private static let mostLinks = 40

    /// In the order in which the kernel comes by them. Ends where there is no such name.
    package private(set) var steps: [Step] = []

    /// `path` is absolute. May wait for a disk.
    package init(_ path: String) {
        var rest = path.split(separator: "/").map(String.init)[...]
        var (directory, links) = ("", 0)
        while let name = rest.popFirst() {
            if name == "." { continue }
            if name == ".." {
                directory = splitPath(directory)?.directory ?? ""
                if directory == "/" { directory = "" }
                continue
            }
            let step = Step(directory: directory.isEmpty ? "/" : directory, name: name)
            let here = "\(directory)/\(name)"
            if let target = Self.target(of: here), links < Self.mostLinks {
                links += 1
                steps.append(step)
                if target.hasPrefix("/") { directory = "" }
                rest = target.split(separator: "/").map(String.init)[...] + rest
            } else if rest.isEmpty || !Self.exists(here) {
                steps.append(step)
                return
            } else {
                directory = here
            }
        }
    }

    /// Nil: no link.
    private static func target(of path: String) -> String? {
        var characters = [CChar](repeating: 0, count: Int(PATH_MAX))
        // SAFETY: the kernel writes at most as many characters as the array has, and says how many.
        let count = unsafe readlink(path, &characters, characters.count)
        return count > 0 ? String(decoding: characters[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
    }

    private static func exists(_ path: String) -> Bool {
        // SAFETY: the path is lent for the call only.
        unsafe access(path, F_OK) == 0
    }
}
