// What tests do in a directory of their own.

import CLinux
import FileSystem
import Glibc
import Testing

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

/// Of a name itself; nil: there is none.
func stamp(_ path: String) -> FileStamp? {
    (try? FileStamp(name: path, in: AT_FDCWD, path: path)).flatMap { $0 }
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
