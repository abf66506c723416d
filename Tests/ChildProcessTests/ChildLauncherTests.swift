// Children that are real programs.

import Crypto
import Diagnosis
import EventLoop
import Glibc
import TestSupport
import Testing
import Timekeeping

@testable import ChildProcess

@Suite("A child process")
struct ChildLauncherTests {
    private func run(_ arguments: [String], timeout: Duration = .seconds(300), outputLimit: Int = 1 << 20)
        async throws -> ChildOutcome
    {
        let command = ChildCommand(
            arguments: arguments, environment: ["GREETING": "good day"], timeout: timeout, outputLimit: outputLimit)
        let loop = try EventLoop(label: "test")
        return try await Task(executorPreference: loop) { try await ChildLauncher(loop: loop).run(command) }.value
    }

    @Test("is given its arguments as they are, only the environment it is meant to have, and no input")
    func startsClean() async throws {
        let outcome = try await run([
            "/bin/sh", "-c", #"printf '%s|' "$@"; env | sort; cat; echo "to err" >&2"#, "sh", "a b", "$HOME",
        ])
        #expect(outcome.hasSucceeded)
        let lines = outcome.standardOutput.text.split(separator: "\n").map(String.init)
        #expect(lines.first == "a b|$HOME|GREETING=good day")
        #expect(lines.allSatisfy { $0.hasPrefix("a b|") || $0.hasPrefix("PWD=") || $0.hasPrefix("_=") }, "\(lines)")
        #expect(outcome.standardError.text == "to err\n")
    }

    @Test("has default signal dispositions, an empty mask, a group of its own and three descriptors")
    func state() async throws {
        signal(SIGPIPE, SIG_IGN)
        let open = unsafe Glibc.open("/dev/null", O_RDONLY)
        defer { close(open) }
        let outcome = try await run(
            ["/bin/sh", "-c", "grep -E 'Sig(Blk|Ign)' /proc/self/status; echo /proc/$$/fd/*; ps -o pgid= $$; echo $$"])
        let lines = outcome.standardOutput.text.split(separator: "\n").map { $0.filter { $0 != "\t" && $0 != " " } }
        try #require(lines.count == 5)
        #expect(lines[0] == "SigBlk:0000000000000000")
        // The C library keeps signals 32 and 33 to itself.
        let ignored = try #require(UInt64(lines[1].dropFirst(7), radix: 16))
        #expect(ignored & 0x7FFF_FFFF == 0, "\(lines[1])")
        #expect(!lines[2].contains("fd/\(open)"), "\(lines[2])")
        #expect(lines[3] == lines[4])
    }

    @Test("that fails tells how", arguments: [("exit 3", ChildOutcome.End.exited(3)), ("kill -9 $$", .signalled(9))])
    func failure(script: String, end: ChildOutcome.End) async throws {
        #expect(try await run(["/bin/sh", "-c", script]).end == end)
    }

    @Test("that cannot be started says why", arguments: [[], ["/no/such/program"], ["/etc/passwd"]])
    func unstartable(arguments: [String]) async throws {
        let error = try await #require(throws: AgentError.self) { try await run(arguments) }
        #expect(error.code == .commandFailed)
        #expect(error.observed.contains(arguments.first ?? "empty"))
    }

    @Test("that floods its outputs is read to the end and cut")
    func flood() async throws {
        let outcome = try await run(["/bin/sh", "-c", "head -c 3000000 /dev/zero; echo x >&2"], outputLimit: 10_000)
        #expect(outcome.hasSucceeded)
        #expect(outcome.isCut)
        #expect(outcome.standardOutput.count == 10_000)
    }

    @Test("that floods does so at the agent's pace, in a few turns of the loop: 64 KiB, and 10 ms of rest")
    func slowedFlood() async throws {
        let clock = ContinuousClock()
        let start = clock.now
        let outcome = try await run(["/bin/sh", "-c", "head -c 8000000 /dev/zero"], outputLimit: 4_096)
        #expect(outcome.hasSucceeded)
        #expect(outcome.standardOutput.count == 4_096)
        // 122 pipes full, but for the two that the pipe and the last turn hold.
        #expect(clock.now - start >= .milliseconds(1_200))
    }

    @Test("that runs too long is stopped, with what it started")
    func timeout() async throws {
        // An hour, by a number that no other process on this machine sleeps for.
        let sleep = "sleep 3600.\(getpid())"
        let error = try await #require(throws: AgentError.self) {
            try await run(["/bin/sh", "-c", "\(sleep) & \(sleep)"], timeout: .milliseconds(200))
        }
        #expect(error.observed == "/bin/sh ran longer than 200ms")
        let survivors = try await run(["/bin/sh", "-c", "ps -e -o args= | grep -c '^\(sleep)' || true"])
        #expect(survivors.standardOutput.text == "0\n")
    }

    @Test("that ignores the request to stop is killed")
    func stubborn() async throws {
        let directory = TemporaryDirectory()
        let ignoring = directory.file("ignoring")
        let script = #"trap '' TERM; : > "$1"; while :; do sleep 0.1; done"#
        let loop = try EventLoop(label: "test")
        let child = Task(executorPreference: loop) {
            try await ChildLauncher(loop: loop).run(
                ChildCommand(arguments: ["/bin/sh", "-c", script, "sh", ignoring], timeout: .seconds(300)))
        }
        let patience = Task(executorPreference: loop) {
            let deadline = loop.now + .seconds(60)
            while entries(of: directory.path).isEmpty, loop.now < deadline { await loop.sleep(for: .milliseconds(5)) }
            let asked = loop.now
            child.cancel()
            await #expect(throws: AgentError.self) { try await child.value }
            return loop.now - asked
        }
        #expect(await patience.value >= RunningChildren.grace)
    }

    @Test("is stopped when its task is cancelled")
    func cancelled() async throws {
        let loop = try EventLoop(label: "test")
        let task = Task(executorPreference: loop) {
            let command = ChildCommand(arguments: ["sleep", "3600"], timeout: .seconds(3_600))
            return try await ChildLauncher(loop: loop).run(command)
        }
        task.cancel()
        let error = try await #require(throws: AgentError.self) { try await task.value }
        #expect(error.code == .cancelled)
    }

    @Test("does not have to wait for what it leaves in the background")
    func daemon() async throws {
        let outcome = try await run(["/bin/sh", "-c", "sleep 600 & echo started; echo $!"], timeout: .seconds(300))
        let words = outcome.standardOutput.text.split(separator: "\n")
        #expect(words.first == "started")
        // It sleeps on: nobody waited for it, nor stopped it.
        #expect(kill(try #require(words.last.flatMap { pid_t($0) }), SIGKILL) == 0)
    }

    static let token = "hvs.CAESIJ4kUqVd0vXyNq8rT2bW"

    @Test(
        "says no part of a secret, whatever cuts it",
        arguments: [
            (token, "[secret]"), ("a \(token)\(token) b", "a [secret] b"), ("\(token) \(token)", "[secret] [secret]"),
            (String(token.dropLast()), "[secret]"), (String(token.prefix(9)) + "!", "[secret]!"),
            ("x" + token.dropFirst(12), "x[secret]"), (String(token.prefix(7)), String(token.prefix(7))),
            (token.prefix(12) + "\0" + token.dropFirst(12), "[secret]"),
            (token.prefix(3) + "\r\n" + token.dropFirst(3).prefix(3) + " \t\u{85}" + token.dropFirst(6), "[secret]"),
            (token.map { "\($0)\n" }.joined(), "[secret]"),
            ("1 \(token.prefix(8)) 2 \(token.suffix(8)) 3", "1 [secret] 2 [secret] 3"),
            (token.prefix(13) + "-" + token.dropFirst(13), "[secret]-[secret]"),
            ("no secret at all", "no secret at all"),
        ] as [(String, String)])
    func blotted(text: String, line: String) {
        let secrets = [Secret(text: "hvs.another-one"), Secret(text: Self.token)]
        #expect(Secret(text: text).logLine(without: secrets) == line)
    }

    @Test("speaks in the log on one line, without the secrets that are known, its last words kept")
    func logLine() {
        let token = Secret(text: "hvs.CAESIJ-secret")
        #expect(
            Secret(text: "got hvs.CAESIJ-secret\r\n\tand\u{1B}[31m hvs.CAESIJ-secret\n").logLine(without: [token])
                == "got [secret] and [31m [secret]")
        // As a terminal would take them: a control sequence in one character, and marks that turn writing round.
        #expect(
            Secret(text: "a\u{9B}2Jb \u{202E}c\u{2066}\u{85}d").logLine(without: []) == "a 2Jb \\u202ec\\u2066 d")
        #expect(Secret(text: "a long story that ends well").logLine(without: [], limit: 9) == "… ends well")
    }
}
