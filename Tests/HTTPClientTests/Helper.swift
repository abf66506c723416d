// Test support: a program that the tests start, and talk with by lines.

import Glibc
import SystemCalls

/// Runs until the test process ends: its standard input is a socket whose other end nobody else holds.
final class Helper: Sendable {
    struct NotStarted: Error {
        let errno: Int32
    }

    private let identifier: pid_t
    private let socket: Descriptor

    /// - Parameter environment: added to this process's own.
    init(_ arguments: [String], environment: [String: String] = [:]) throws {
        var ends: [Int32] = [-1, -1]
        guard unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw NotStarted(errno: errno)
        }
        socket = try Descriptor(ends[0], "socketpair", "(test)")
        let childs = try Descriptor(ends[1], "socketpair", "(test)")
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        for descriptor: Int32 in [0, 1] { unsafe posix_spawn_file_actions_adddup2(&actions, childs.number, descriptor) }
        let settings = environment.map { "\($0.key)=\($0.value)" }
        let words = unsafe (["env"] + settings + arguments).map { unsafe strdup($0) } + [nil]
        defer { unsafe words.forEach { unsafe free($0) } }
        var child: pid_t = 0
        let result = unsafe posix_spawnp(&child, "env", &actions, nil, words, environ)
        guard result == 0 else { throw NotStarted(errno: result) }
        identifier = child
    }

    deinit {
        // The end of its input ends it.
        shutdown(socket.number, Int32(SHUT_RDWR))
        waitpid(identifier, nil, 0)
    }

    /// The next line of its standard output; nil at the end.
    func line() -> String? {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while unsafe read(socket.number, &byte, 1) == 1 {
            if byte == UInt8(ascii: "\n") { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(byte)
        }
        return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
    }
}
