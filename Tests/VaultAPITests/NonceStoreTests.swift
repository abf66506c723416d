import CLinux
import Crypto
import Diagnosis
import Glibc
import TestSupport
import Testing
import VaultAPI

extension TemporaryDirectory {
    fileprivate func mode(of name: String) -> mode_t {
        var status = stat()
        unsafe stat(file(name), &status)
        return status.st_mode & 0o7777
    }
}

private func store(
    _ directory: TemporaryDirectory, token: String = "app", file: String? = nil
) throws(AgentError) -> NonceStore {
    var login = EC2Login()
    login.nonceFile = file
    return try NonceStore(login, tokenName: token, stateDirectory: directory.path)
}

@Suite("The nonce of ec2 logins")
struct NonceStoreTests {
    @Test("is made once, only the agent can read it, and it survives restarts")
    func kept() async throws {
        let directory = TemporaryDirectory()
        let first = try await store(directory).nonce()
        #expect(first.count == 64)
        #expect(first.text.allSatisfy { $0.isHexDigit })
        #expect(directory.names == ["nonce-app"])
        #expect(directory.mode(of: "nonce-app") == 0o600)
        #expect(try await store(directory).nonce() == first)
        #expect(try store(directory).path == "\(directory.path)/nonce-app")
        let other = try await store(directory, token: "other").nonce()
        #expect(other != first)
        #expect(directory.names == ["nonce-app", "nonce-other"])
    }

    @Test("is on the disk before it is used: what a killed agent left behind does not matter")
    func leftovers() async throws {
        let directory = TemporaryDirectory()
        directory.write("half", to: ".nonce-app.vta-0123456789abcdef")
        let nonce = try await store(directory).nonce()
        #expect(nonce.count == 64)
        #expect(directory.names == ["nonce-app"])
    }

    @Test("two agents that start at once agree on one")
    func race() async throws {
        let directory = TemporaryDirectory()
        let nonces = try await withThrowingTaskGroup(of: Secret.self) { group in
            for _ in 0..<8 {
                let store = try store(directory)
                group.addTask { try await store.nonce() }
            }
            return try await group.reduce(into: [Secret]()) { $0.append($1) }
        }
        #expect(nonces.count == 8)
        #expect(nonces.allSatisfy { $0 == nonces[0] })
        #expect(directory.names == ["nonce-app"])
    }

    @Test(
        "the operator's file is taken as it is, without its newline",
        arguments: [
            ("n-1", 0o600), ("n-1\n", 0o400), ("n-1\r\n", 0o440), (String(repeating: "x", count: 128) + "\n", 0o600),
        ] as [(String, mode_t)])
    func given(text: String, mode: mode_t) async throws {
        let directory = TemporaryDirectory()
        directory.write(text, to: "mine", mode: mode)
        let nonce = try await store(directory, file: "\(directory.path)/mine").nonce()
        #expect(nonce.text == text.filter { !$0.isNewline })
        #expect(directory.names == ["mine"], "none is made beside it")
    }

    @Test(
        "a file that will not do is refused, by its name",
        arguments: [
            ("", 0o600, "is empty"), ("\n", 0o600, "is empty"), (String(repeating: "x", count: 129), 0o600, "too long"),
            (String(repeating: "x", count: 5_000), 0o600, "too long"), ("a b", 0o600, "spaces"),
            ("a\nb", 0o600, "spaces"),
            ("é", 0o600, "ASCII"), ("a\u{0}", 0o600, "control"), ("n-1", 0o604, "mode 0604"),
            ("n-1", 0o620, "mode 0620"),
            ("n-1", 0o666, "mode 0666"),
        ] as [(String, mode_t, String)])
    func refused(text: String, mode: mode_t, why: String) async throws {
        let directory = TemporaryDirectory()
        directory.write(text, to: "mine", mode: mode)
        directory.write(text, to: "nonce-app", mode: mode)
        let given = await #expect(throws: AgentError.self) {
            try await store(directory, file: "\(directory.path)/mine").nonce()
        }
        #expect(given?.code == .configurationInvalid)
        #expect(given?.observed.contains("\(directory.path)/mine") == true)
        #expect(given?.observed.contains(why) == true)
        let kept = await #expect(throws: AgentError.self) { try await store(directory).nonce() }
        #expect(kept?.code == .stateUnwritable)
        #expect(kept?.observed.contains("\(directory.path)/nonce-app") == true)
        #expect(kept?.observed.contains(why) == true)
        #expect(kept?.remedy.isEmpty == false)
    }

    @Test("the agent's own is refused where a group can read it")
    func groupReadable() async throws {
        let directory = TemporaryDirectory()
        directory.write("n-1", to: "nonce-app", mode: 0o640)
        let error = await #expect(throws: AgentError.self) { try await store(directory).nonce() }
        #expect(error?.remedy.contains("chmod 0600 \(directory.path)/nonce-app") == true)
    }

    @Test("links, pipes and directories in its place are refused")
    func notAFile() async throws {
        let directory = TemporaryDirectory()
        directory.write("n-1", to: "elsewhere")
        unsafe symlink("elsewhere", "\(directory.path)/nonce-app")
        let link = await #expect(throws: AgentError.self) { try await store(directory).nonce() }
        #expect(link?.code == .stateUnwritable)
        // As Kubernetes mounts secrets.
        #expect(try await store(directory, file: "\(directory.path)/nonce-app").nonce().text == "n-1")
        unsafe mkfifo("\(directory.path)/pipe", 0o600)
        let pipe = await #expect(throws: AgentError.self) {
            try await store(directory, file: "\(directory.path)/pipe").nonce()
        }
        #expect(pipe?.observed.contains("not a file") == true)
        let itself = await #expect(throws: AgentError.self) { try await store(directory, file: directory.path).nonce() }
        #expect(itself?.code == .configurationInvalid)
    }

    @Test("nowhere to read or keep it")
    func nowhere() async throws {
        let directory = TemporaryDirectory()
        let absent = await #expect(throws: AgentError.self) {
            try await store(directory, file: "\(directory.path)/absent").nonce()
        }
        #expect(absent?.code == .fileUnreadable)
        #expect(absent?.observed.contains("\(directory.path)/absent") == true)
        let noDirectory = await #expect(throws: AgentError.self) {
            try await NonceStore(EC2Login(), tokenName: "app", stateDirectory: "\(directory.path)/absent").nonce()
        }
        #expect(noDirectory?.code == .stateUnwritable)
        #expect(noDirectory?.remedy.contains("StateDirectory=") == true)
        let noState = #expect(throws: AgentError.self) {
            _ = try NonceStore(EC2Login(), tokenName: "app", stateDirectory: nil)
        }
        #expect(noState?.code == .configurationInvalid)
        #expect(directory.names.isEmpty)
    }

    @Test("a state directory that nobody can write, root neither")
    func unwritable() async throws {
        let error = await #expect(throws: AgentError.self) {
            try await NonceStore(EC2Login(), tokenName: "app", stateDirectory: "/proc").nonce()
        }
        #expect(error?.code == .stateUnwritable)
        #expect(error?.observed.contains("/proc/nonce-app") == true)
    }
}
