// TestSupport: a real directory for one test.

package import Glibc

/// A directory of its own below the machine's for temporary files (`TMPDIR`, else /tmp), removed with all that is in it.
package final class TemporaryDirectory: Sendable {
    package let path: String

    package init() {
        let root = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
        // Short: the path of a socket has 107 bytes.
        var template = Array("\(root)/vta-XXXXXX".utf8CString)
        // SAFETY: mkdtemp writes within the template, which ends with NUL.
        let made = unsafe mkdtemp(&template) != nil
        precondition(made, "no directory in \(root): errno \(errno)")
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit {
        // What a sink still writes after its agent's end finds no directory any more once this has succeeded.
        for _ in 0..<100 {
            removeAll(path)
            if unsafe access(path, F_OK) != 0 { return }
            usleep(10_000)
        }
    }

    package func file(_ name: String) -> String { "\(path)/\(name)" }

    /// What is in it, in order.
    package var names: [String] { entries(of: path).sorted() }

    /// The whole of a file in it, which is made if it is not there.
    package func write(_ bytes: some Collection<UInt8>, to name: String, mode: mode_t = 0o600) {
        let descriptor = unsafe open(file(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        precondition(descriptor >= 0, "open \(file(name)): errno \(errno)")
        let bytes = Array(bytes)
        let written = unsafe Glibc.write(descriptor, bytes, bytes.count)
        precondition(written == bytes.count, "\(file(name)) was not written: errno \(errno)")
        fchmod(descriptor, mode)
        close(descriptor)
    }

    package func write(_ text: String, to name: String, mode: mode_t = 0o600) {
        write(text.utf8, to: name, mode: mode)
    }
}

/// The names in a directory; none where it cannot be read.
package func entries(of directory: String) -> [String] {
    guard let stream = unsafe opendir(directory) else { return [] }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
        // SAFETY: the kernel's name ends with NUL within the entry.
        let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
            unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
        }
        if name != ".", name != ".." { names.append(name) }
    }
    return names
}

private func removeAll(_ path: String) {
    if unsafe unlink(path) == 0 { return }
    for name in entries(of: path) { removeAll("\(path)/\(name)") }
    _ = unsafe rmdir(path)
}
