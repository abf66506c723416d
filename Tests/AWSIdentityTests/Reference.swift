// botocore as the reference: runs botocore_reference.py by the project's Python and reads what it prints.

import ChildProcess
import Crypto
import EventLoop
import Glibc
import SecretJSON
import Testing

struct Reference {
    /// Why there is no answer, in full: a reference that cannot be asked fails the test.
    struct Unavailable: Error, CustomStringConvertible {
        let description: String
    }

    /// The directory of this file.
    static let directory = String(#filePath[..<(#filePath.lastIndex(of: "/") ?? #filePath.endIndex)])

    /// `VTA_PYTHON`, else the project's virtual environment, else the machine's.
    private static var python: String {
        if let named = unsafe getenv("VTA_PYTHON") { return unsafe String(cString: named) }
        let projects = "\(directory)/../../.venv/bin/python"
        return unsafe access(projects, X_OK) == 0 ? projects : "python3"
    }

    /// The documents that it prints, one a line.
    static func ask(_ arguments: String...) async throws -> [JSONValue] {
        let command = ChildCommand(
            arguments: [python, "\(directory)/botocore_reference.py"] + arguments,
            environment: ["PATH": unsafe getenv("PATH").map { unsafe String(cString: $0) } ?? "/usr/bin:/bin"],
            timeout: .seconds(300), outputLimit: 64 << 20)
        let loop = try EventLoop(label: "reference")
        let outcome = try await Task(executorPreference: loop) { try await ChildLauncher(loop: loop).run(command) }
            .value
        guard outcome.hasSucceeded else {
            throw Unavailable(
                description: "\(python) with botocore is needed (make setup): "
                    + outcome.standardError.logLine(without: [], limit: 2_000))
        }
        return try outcome.standardOutput.text.split(separator: "\n").map {
            try JSONValue(reading: Secret(text: String($0)))
        }
    }
}
