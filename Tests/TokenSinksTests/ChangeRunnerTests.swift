// `on_change` with real programs.

import ChildProcess
import Crypto
import EventLoop
import Glibc
import TestSupport
import Testing
import Timekeeping

@testable import TokenSinks

@Suite("An on_change action")
struct ChangeRunnerTests {
    private let directory = TemporaryDirectory()
    private let log = CapturedLog()

    private func runner(_ action: ChangeAction, on loop: EventLoop) -> ChangeRunner {
        SinkFactory(loop: loop, log: quiet).makeChangeRunner(
            action, about: ["VAULT_TOKEN_AGENT_NAME": "app"], log: log.logger)
    }

    private func shell(_ script: String, timeout: Duration = .seconds(20)) -> ChangeAction {
        .command(["/bin/sh", "-c", script, "sh", directory.file("journal")], timeout: timeout)
    }

    @Test("never runs twice at once; changes during a run cause exactly one more")
    func oneAtATime() async throws {
        let (directory, log) = (directory, log)
        try await onLoop { loop in
            let script = #"echo begin >> "$1"; until [ -e "$1.go" ]; do sleep 0.02; done; echo end >> "$1""#
            let runner = runner(shell(script), on: loop)
            for _ in 0..<3 { runner.tokenChanged(secrets: []) }
            #expect(await eventually(loop) { contents(directory.file("journal")) == "begin\n" })
            for _ in 0..<5 { runner.tokenChanged(secrets: []) }
            await loop.sleep(for: .milliseconds(100))
            #expect(contents(directory.file("journal")) == "begin\n")
            write("", to: directory.file("journal.go"))
            #expect(await eventually(loop) { log.lines.count == 2 })
            await loop.sleep(for: .milliseconds(100))
            #expect(contents(directory.file("journal")) == "begin\nend\nbegin\nend\n")
            runner.tokenChanged(secrets: [])
            #expect(await eventually(loop) { log.lines.count == 3 })
            runner.close()
        }
    }

    @Test("sees what has changed and nothing of the agent's environment, and its words are logged without the token")
    func discretion() async throws {
        let (directory, log) = (directory, log)
        try await onLoop { loop in
            let runner = runner(shell(#"env > "$1"; echo "read hvs.old-secret and hvs.new-secret"; exit 4"#), on: loop)
            runner.tokenChanged(secrets: [Secret(text: "hvs.old-secret")])
            #expect(await eventually(loop) { log.lines.count == 1 })
            runner.tokenChanged(secrets: [Secret(text: "hvs.new-secret")])
            #expect(await eventually(loop) { log.lines.count == 2 })
            runner.close()
        }
        let environment = try #require(contents(directory.file("journal"))).split(separator: "\n").map(String.init)
        #expect(environment.contains("VAULT_TOKEN_AGENT_NAME=app"))
        #expect(environment.contains { $0.hasPrefix("PATH=/") })
        #expect(
            environment.allSatisfy { line in
                ["VAULT_TOKEN_AGENT_NAME=", "PATH=", "PWD=", "_="].contains { line.hasPrefix($0) }
            })
        #expect(log.lines[1].contains("/bin/sh exited with status 4 and said: read [secret] and [secret]"))
    }

    @Test("holds no token but the last it was told of, once its command has ended, and none once it is closed")
    func lettingGo() async throws {
        let log = log
        try await onLoop { loop in
            let runner = runner(shell("true"), on: loop)
            var tokens: [Token] = []
            for number in 1...3 {
                let token = Secret(text: "hvs.token-\(number)")
                tokens.append(Token(secret: token))
                runner.tokenChanged(secrets: [token])
                #expect(await eventually(loop) { log.lines.count == number })
            }
            #expect(await eventually(loop) { tokens.map { $0.secret == nil } == [true, true, false] })
            runner.close()
            #expect(tokens.allSatisfy { $0.secret == nil })
        }
    }

    @Test("that hangs is stopped and reported, and stopped when the agent stops", arguments: [true, false])
    func bounded(byTimeout: Bool) async throws {
        let (directory, log) = (directory, log)
        try await onLoop { loop in
            let runner = runner(
                shell(#"echo $$ > "$1"; exec sleep 60"#, timeout: byTimeout ? .milliseconds(200) : .seconds(60)),
                on: loop)
            runner.tokenChanged(secrets: [])
            #expect(await eventually(loop) { contents(directory.file("journal"))?.hasSuffix("\n") == true })
            let process = try #require(pid_t(contents(directory.file("journal"))?.dropLast() ?? ""))
            if !byTimeout { runner.close() }
            #expect(await eventually(loop) { kill(process, 0) != 0 })
            if byTimeout {
                #expect(await eventually(loop) { log.lines.first?.contains("ran longer than 200ms") == true })
            }
            runner.close()
        }
    }

    @Test("signals the process that a pid file names")
    func signal() async throws {
        let (directory, log) = (directory, log)
        try await onLoop { loop in
            let script = #"trap 'echo hup >> "$1.got"' HUP; echo $$ > "$1"; while :; do sleep 0.02; done"#
            let program = Task(executorPreference: loop) {
                try await ChildLauncher(loop: loop).run(
                    ChildCommand(
                        arguments: ["/bin/sh", "-c", script, "sh", directory.file("pid")], timeout: .seconds(60)))
            }
            #expect(await eventually(loop) { contents(directory.file("pid"))?.hasSuffix("\n") == true })
            let runner = runner(.signal(SIGHUP, pidFile: directory.file("pid")), on: loop)
            runner.tokenChanged(secrets: [])
            #expect(await eventually(loop) { contents(directory.file("pid.got")) == "hup\n" })
            #expect(await eventually(loop) { log.lines.first?.contains("signal=1") == true })
            program.cancel()
            _ = await program.result
            runner.tokenChanged(secrets: [])
            #expect(await eventually(loop) { log.lines.last?.contains("No such process") == true })
            runner.close()
        }
    }

    @Test(
        "signals nobody for a pid file that cannot be right",
        arguments: [
            "", "0", "1", "-1", "12 34", "seven", "99999999999999999999", String(repeating: "1", count: 5_000), "self",
            "missing",
        ])
    func doubtfulPidFile(text: String) throws {
        let path = directory.file("pid")
        if text != "missing" { write(text == "self" ? "\(getpid())" : text, to: path) }
        #expect(throws: (any Error).self) { try PidFile(path: path).signal(0) }
    }

    @Test(
        "signals nobody for a pid file of a stranger's", .enabled(if: geteuid() == 0, "only root can give files away"))
    func strangersPidFile() throws {
        let path = directory.file("pid")
        write("\(getppid())", to: path)
        #expect(try PidFile(path: path).signal(0) == getppid())
        _ = unsafe chown(path, 65_534, 65_534)
        #expect(throws: (any Error).self) { try PidFile(path: path).signal(0) }
    }
}

/// A token that others hold, or nobody any more.
private struct Token {
    weak var secret: Secret?
}
