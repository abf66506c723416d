// What the suites of this target share: the project's own files, and a check of a text without a file.

import Diagnosis
import Glibc
import Testing

@testable import Configuration

/// The project's top directory.
let projectDirectory = String(#filePath.prefix(#filePath.count - "/Tests/ConfigurationTests/Support.swift".count))

func projectFile(_ path: String) throws -> SourceText {
    try SourceText(readingFrom: projectDirectory + "/" + path)
}

func projectText(_ path: String) throws -> String {
    String(decoding: try projectFile(path).bytes, as: UTF8.self)
}

/// Everything that a configuration needs, with room for more keys.
func minimal(
    root: String = "", vault: String = "", token: String = "", auth: String = "", sink: String = "",
    type: String = "iam", sinkType: String = "file"
) -> String {
    """
    {
      "vault": { "address": "https://vault.example.com:8200"\(vault) },
      "tokens": [ { "name": "app",
        "auth": { "type": "\(type)"\(auth) },
        "sinks": [ { "type": "\(sinkType)", "path": "/run/app/token"\(sink) } ]\(token) } ]\(root)
    }
    """
}

func examine(
    _ text: String, environment: [String: String] = [:],
    overrides: ConfigurationOverrides = ConfigurationOverrides()
) -> ConfigurationLoader.Examination {
    ConfigurationLoader.examine(
        SourceText(path: "config.json", bytes: Array(text.utf8)), environment: environment, overrides: overrides)
}

extension ConfigurationLoader.Examination {
    /// The errors as a person reads them.
    var complaints: [String] {
        switch self {
        case .usable: []
        case .unusable(let errors): errors.map(\.description)
        }
    }

    /// Every value that holds; none where nothing is usable.
    var effective: [EffectiveValue] {
        if case .usable(_, let effective) = self { effective() } else { [] }
    }

    /// Throws the first error.
    var usable: LoadedConfiguration {
        get throws {
            switch self {
            case .usable(let loaded, _): return loaded
            case .unusable(let errors): throw errors[0]
            }
        }
    }
}

func write(_ text: String, to path: String) throws {
    // SAFETY: path and content are lent for the calls only.
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    try #require(unsafe Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
}

func remove(_ path: String) {
    _ = unsafe unlink(path)
}
