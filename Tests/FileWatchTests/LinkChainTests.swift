import FileWatch
import Glibc
import TestSupport
import Testing

@Suite struct LinkChainTests {
    private let directory = TemporaryDirectory()
    private var folder: String { directory.path }

    init() {
        for name in ["/..one", "/..two"] { _ = unsafe mkdir(folder + name, 0o755) }
        for (name, target) in [
            ("config.json", "..data/config.json"), ("..data", "..one"), ("up", "..one/../..two/config.json"),
            ("absolute", folder + "/config.json"), ("round", "round"), ("lost", "nowhere/config.json"),
        ] {
            _ = unsafe symlink(target, folder + "/" + name)
        }
        for name in ["..one", "..two"] {
            close(unsafe open("\(folder)/\(name)/config.json", O_CREAT | O_WRONLY | O_CLOEXEC, 0o600))
        }
    }

    private func steps(_ name: String) -> [String] {
        LinkChain("\(folder)/\(name)").steps.map { step in
            "\(step.directory)/\(step.name)".replacing("\(folder)/", with: "")
        }
    }

    @Test(arguments: [
        ("..one/config.json", ["..one/config.json"]),
        ("config.json", ["config.json", "..data", "..one/config.json"]),
        ("./..one/../..two//config.json", ["..two/config.json"]),
        ("absolute", ["absolute", "config.json", "..data", "..one/config.json"]),
        ("up", ["up", "..two/config.json"]),
        ("lost", ["lost", "nowhere"]),
        ("missing/deeper/config.json", ["missing"]),
    ])
    func `every name that decides where a path leads is told`(name: String, expected: [String]) {
        #expect(steps(name) == expected)
    }

    @Test func `a link to itself comes to an end`() {
        #expect(steps("round").count == 41)
    }
}

extension String {
    fileprivate func replacing(_ part: String, with other: String) -> String {
        guard hasPrefix(part) else { return self }
        return other + dropFirst(part.count)
    }
}
