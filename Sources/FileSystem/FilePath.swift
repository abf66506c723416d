// FileSystem: a path as directory and name.

/// An absolute path as its directory and its last name; nil where it has none.
package func splitPath(_ path: String) -> (directory: String, name: String)? {
    guard path.hasPrefix("/"), let slash = path.lastIndex(of: "/"), !path.utf8.contains(0) else { return nil }
    let name = String(path[path.index(after: slash)...])
    guard !name.isEmpty, name != ".", name != ".." else { return nil }
    let directory = String(path[..<slash])
    return (directory.isEmpty ? "/" : directory, name)
}
