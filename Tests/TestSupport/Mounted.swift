// TestSupport: file systems of a test's own.

private import Glibc

/// Something mounted for one test.
package final class Mounted: Sendable {
    private let path: String

    package struct Refused: Error {}

    /// `arguments`: mount's, before the path.
    package init(_ arguments: [String], at path: String) throws {
        self.path = path
        guard Mounted.run(["mount"] + arguments + [path]) else { throw Refused() }
    }

    deinit {
        _ = Mounted.run(["umount", "--lazy", path])
    }

    package func remount(_ options: String) -> Bool {
        Mounted.run(["mount", "-o", "remount,\(options)", path])
    }

    private static func run(_ arguments: [String]) -> Bool {
        var words: [UnsafeMutablePointer<CChar>?] = unsafe arguments.map { unsafe strdup($0) } + [nil]
        defer { unsafe words.forEach { unsafe free($0) } }
        var child: pid_t = 0
        guard unsafe posix_spawnp(&child, arguments[0], nil, nil, &words, environ) == 0 else { return false }
        var status: Int32 = -1
        return unsafe waitpid(child, &status, 0) == child && status == 0
    }

    /// Whether this user and container may mount at all.
    package static let isPossible: Bool = {
        let directory = TemporaryDirectory()
        return geteuid() == 0 && (try? Mounted(["-t", "tmpfs", "tmpfs"], at: directory.path)) != nil
    }()
}

/// Fills what room there is on a file system of at most 64 kB, or takes its last inode, with a file called `filler`.
package func fillUp(_ directory: TemporaryDirectory) {
    let filler = unsafe open(directory.file("filler"), O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    let page = [UInt8](repeating: 0, count: 4_096)
    for _ in 0..<16 { _ = unsafe write(filler, page, page.count) }
    close(filler)
}
