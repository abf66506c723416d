// A real directory for one test, and what tests do in it.

import CLinux
import Glibc
import Testing

final class TemporaryDirectory: Sendable {
    let path: String

    init() {
        var template = Array("/tmp/token-sinks-XXXXXX".utf8CString)
        // SAFETY: mkdtemp writes into the array, which ends with NUL.
        path = unsafe template.withUnsafeMutableBufferPointer { buffer in
            guard let start = buffer.baseAddress, unsafe mkdtemp(start) != nil else { return "" }
            return unsafe String(cString: start)
        }
        precondition(!path.isEmpty, "mkdtemp: errno \(errno)")
    }

    deinit {
        removeAll(path)
    }

    func file(_ name: String) -> String {
        "\(path)/\(name)"
    }

    var names: [String] {
        entries(of: path).sorted()
    }
}

func entries(of directory: String) -> [String] {
    guard let stream = unsafe opendir(directory) else { return [] }
    defer { unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
        let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
            unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
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

/// The whole of a file; nil where it cannot be opened.
func contents(_ path: String) -> String? {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4_096)
    while true {
        let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
        if count <= 0 { break }
        bytes += buffer[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
}

/// Opens, truncates and writes, as a careless program does.
func write(_ text: String, to path: String, mode: mode_t = 0o644) {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    precondition(descriptor >= 0, "open \(path): errno \(errno)")
    let bytes = Array(text.utf8)
    let written = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
    precondition(written == bytes.count)
    close(descriptor)
}

/// What `stat` says of a name itself.
struct Status: Equatable {
    let isRegular: Bool
    let inode: UInt
    let mode: UInt16
    let owner: uid_t
    let group: gid_t
    let modified: Int

    init?(_ path: String) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return nil }
        isRegular = status.st_mode & S_IFMT == S_IFREG
        inode = status.st_ino
        mode = UInt16(status.st_mode & 0o7777)
        owner = status.st_uid
        group = status.st_gid
        modified = status.st_mtim.tv_sec * 1_000_000_000 + status.st_mtim.tv_nsec
    }
}

// System calls whose failure would only mean that the test itself is wrong.

func makeDirectory(_ path: String, mode: mode_t = 0o755) {
    let result = unsafe mkdir(path, mode)
    precondition(result == 0, "mkdir \(path): errno \(errno)")
}

func makePipe(_ path: String) {
    let result = unsafe mkfifo(path, 0o600)
    precondition(result == 0, "mkfifo \(path): errno \(errno)")
}

func link(_ path: String, to target: String) {
    let result = unsafe symlink(target, path)
    precondition(result == 0, "symlink \(path): errno \(errno)")
}

func move(_ path: String, to target: String) {
    let result = unsafe rename(path, target)
    precondition(result == 0, "rename \(path): errno \(errno)")
}

func remove(_ path: String) {
    let result = unsafe unlink(path)
    precondition(result == 0, "unlink \(path): errno \(errno)")
}
