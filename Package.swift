// swift-tools-version: 6.2
// The rooms of vault-token-agent and the arrows between them. Arrows point down only; `make build` checks that no
// source imports a room it does not name here.

import PackageDescription

let strict: [SwiftSetting] = [
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
]

/// The rooms do without the library of regular expressions, which the compiler imports by itself: it is a tenth of the binary.
let lean = strict + [.unsafeFlags(["-Xfrontend", "-disable-implicit-string-processing-module-import"])]

/// All symbols bound at start. A call that is bound when it is first made goes by the dynamic linker, which saves the
/// vector registers on the stack: with them whatever was copied last, a token too.
let boundAtStart: [LinkerSetting] = [.unsafeFlags(["-Xlinker", "-z", "-Xlinker", "now"])]

/// Where the static libraries are: tools/prepare-libraries.sh, a part of `make setup`, makes the folder.
let amongLibraries: [LinkerSetting] = [.unsafeFlags(["-L\(Context.packageDirectory)/.libraries/lib"])]

let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")

func room(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: lean)
}

func tests(of name: String, _ more: [Target.Dependency] = [], exclude: [String] = []) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: [.byName(name: name), "TestSupport"] + more, exclude: exclude,
        swiftSettings: strict)
}

func library(_ name: String, pkgConfig: String, debian: String) -> Target {
    .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt([debian])])
}

let package = Package(
    name: "vault-token-agent",
    products: [.executable(name: "vault-token-agent", targets: ["vault-token-agent"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    ],
    targets: [
        // System libraries and the kernel's calls, as modules
        .target(name: "CLibcurl", linkerSettings: amongLibraries),
        .systemLibrary(name: "CExpat"),
        library("COpenSSL", pkgConfig: "openssl", debian: "libssl-dev"),
        .systemLibrary(name: "CLinux"),
        .systemLibrary(name: "CMainQueue"),

        // Values: no I/O, no clock, no Foundation
        room("Timekeeping"),
        room("Diagnosis"),
        room("TokenLifecycle", ["Timekeeping", "Diagnosis"]),

        // Machinery
        room("SystemCalls"),
        room("Crypto", ["Diagnosis", "COpenSSL", "CLinux"]),
        room("SecretJSON", ["Crypto"]),
        room("EventLoop", ["SystemCalls", "Timekeeping", "Diagnosis", "CLinux", "CMainQueue"]),
        room(
            "HTTPClient",
            [
                "EventLoop", "SystemCalls", "Crypto", "Timekeeping", "Diagnosis", "CLibcurl", "CLinux", "COpenSSL",
                logging,
            ]),

        room("FileSystem", ["Crypto", "SystemCalls", "Diagnosis", "CLinux"]),
        room(
            "ChildProcess",
            ["FileSystem", "EventLoop", "SystemCalls", "Crypto", "Timekeeping", "Diagnosis", "CLinux"]),
        room("FileWatch", ["FileSystem", "EventLoop", "SystemCalls", "Timekeeping", "CLinux"]),
        room("HTTPServer", ["FileSystem", "EventLoop", "SystemCalls", "Timekeeping", "Diagnosis", "CLinux"]),

        room("StateDirectory", ["FileSystem", "Crypto", "SystemCalls", "Timekeeping", logging]),

        // What the agent knows
        room(
            "AWSIdentity",
            [
                "HTTPClient", "ChildProcess", "SystemCalls", "SecretJSON", "Crypto", "Timekeeping", "Diagnosis",
                "CExpat", "CLinux", logging,
            ]),
        room(
            "VaultAPI",
            ["HTTPClient", "FileSystem", "SystemCalls", "SecretJSON", "Crypto", "Timekeeping", "Diagnosis", logging]),
        room(
            "TokenSinks",
            [
                "FileWatch", "FileSystem", "ChildProcess", "SecretJSON", "Crypto", "EventLoop", "SystemCalls",
                "Timekeeping", "Diagnosis", "CLinux", logging,
            ]),
        room(
            "ServiceHealth",
            [
                "HTTPServer", "FileSystem", "SecretJSON", "Crypto", "SystemCalls", "TokenLifecycle", "Timekeeping",
                "Diagnosis", "CLinux", logging,
            ]),

        // What binds them
        room(
            "Configuration",
            [
                "AWSIdentity", "VaultAPI", "TokenSinks", "TokenLifecycle", "ServiceHealth", "HTTPServer", "HTTPClient",
                "SecretJSON", "Crypto", "SystemCalls", "Timekeeping", "Diagnosis", "CLinux",
            ]),
        // Other agents' configurations become ours
        room("ConfigurationImport", ["Configuration", "SecretJSON", "Timekeeping", "Diagnosis"]),
        // Puts decisions into effect, on whatever machine it is given
        room(
            "AgentRuntime",
            [
                "Configuration", "AWSIdentity", "VaultAPI", "TokenSinks", "TokenLifecycle", "ServiceHealth",
                "StateDirectory", "FileSystem", "EventLoop", "SystemCalls", "HTTPClient", "Crypto", "Timekeeping",
                "Diagnosis", logging,
            ]),
        // The process around it: the real machine, signals, systemd, listeners
        room(
            "AgentService",
            [
                "AgentRuntime", "Configuration", "AWSIdentity", "VaultAPI", "TokenSinks", "ServiceHealth",
                "FileWatch", "FileSystem", "StateDirectory", "ChildProcess", "EventLoop", "SystemCalls", "HTTPClient",
                "HTTPServer", "Crypto", "Timekeeping", "Diagnosis", "CLinux", logging,
            ]),
        // The real runtime in a simulated world
        room(
            "SimulatedWorld",
            [
                "AgentRuntime", "Configuration", "AWSIdentity", "VaultAPI", "TokenSinks", "TokenLifecycle",
                "ServiceHealth", "StateDirectory",
                "EventLoop", "HTTPClient", "SecretJSON", "Crypto", "Timekeeping", "Diagnosis", logging,
            ]),
        .executableTarget(
            name: "simulation", dependencies: ["SimulatedWorld", "SystemCalls", "Timekeeping"],
            swiftSettings: strict),

        .executableTarget(
            name: "vault-token-agent",
            dependencies: [
                "AgentService", "AgentRuntime", "ConfigurationImport", "Configuration", "AWSIdentity", "VaultAPI",
                "TokenSinks", "ServiceHealth", "EventLoop", "ChildProcess", "SystemCalls", "HTTPClient", "SecretJSON",
                "Crypto",
                "Timekeeping", "Diagnosis", "CLinux", logging,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: lean, linkerSettings: boundAtStart),

        // Tests
        .target(
            name: "TestSupport", dependencies: ["CLinux", "EventLoop", "SystemCalls", "Timekeeping", logging],
            path: "Tests/TestSupport", swiftSettings: strict),
        tests(of: "Timekeeping"),
        tests(of: "Diagnosis"),
        tests(of: "TokenLifecycle", ["Timekeeping", "Diagnosis"]),
        tests(of: "Crypto", ["Diagnosis", "CLinux"]),
        tests(of: "SystemCalls", ["CLinux"]),
        tests(of: "EventLoop", ["SystemCalls", "Timekeeping", "Diagnosis"]),
        tests(of: "SecretJSON", ["Crypto"]),
        .executableTarget(
            name: "transport-probe", dependencies: ["HTTPClient", "EventLoop", "Crypto", logging],
            path: "Tests/TransportProbe", swiftSettings: strict, linkerSettings: boundAtStart),
        tests(
            of: "HTTPClient",
            ["transport-probe", "EventLoop", "SystemCalls", "Crypto", "Timekeeping", "Diagnosis", "CLinux", logging],
            exclude: ["Servers"]),
        tests(
            of: "AWSIdentity",
            [
                "HTTPClient", "ChildProcess", "EventLoop", "SecretJSON", "Crypto", "Timekeeping", "Diagnosis", logging,
            ], exclude: ["Cases", "botocore_reference.py"]),
        tests(
            of: "VaultAPI",
            [
                "HTTPClient", "SecretJSON", "EventLoop", "SystemCalls", "Crypto", "Timekeeping", "Diagnosis", "CLinux",
                logging,
            ]),
        tests(of: "StateDirectory", ["EventLoop", "Timekeeping", "Diagnosis"]),
        tests(of: "ChildProcess", ["EventLoop", "Crypto", "Timekeeping", "Diagnosis", "CLinux"]),
        tests(
            of: "TokenSinks",
            [
                "ChildProcess", "FileSystem", "EventLoop", "SystemCalls", "SecretJSON", "Crypto", "Timekeeping",
                "Diagnosis", "CLinux", logging,
            ],
            exclude: ["open_envelope.py"]),
        tests(of: "FileSystem", ["Crypto", "SystemCalls", "CLinux"]),
        tests(of: "FileWatch"),
        tests(of: "HTTPServer", ["EventLoop", "SystemCalls", "Timekeeping", "Diagnosis"]),
        tests(
            of: "ServiceHealth",
            ["HTTPServer", "SystemCalls", "TokenLifecycle", "Timekeeping", "Diagnosis", "CLinux", logging]),
        tests(
            of: "Configuration",
            [
                "AWSIdentity", "VaultAPI", "TokenSinks", "ServiceHealth", "HTTPClient", "SecretJSON", "Timekeeping",
                "Diagnosis", "CLinux",
            ]),
        tests(of: "ConfigurationImport", ["Configuration", "SecretJSON", "Diagnosis"]),
        tests(
            of: "SimulatedWorld",
            ["AWSIdentity", "AgentRuntime", "Configuration", "ServiceHealth", "TokenSinks", "VaultAPI", "Timekeeping"]),
        tests(
            of: "AgentRuntime",
            [
                "Configuration", "AWSIdentity", "VaultAPI", "TokenSinks", "TokenLifecycle", "ServiceHealth",
                "StateDirectory", "ChildProcess", "EventLoop", "HTTPClient", "Crypto", "Timekeeping", "Diagnosis",
                logging,
            ]),
        tests(
            of: "AgentService",
            [
                "Configuration", "ServiceHealth", "TokenLifecycle", "HTTPServer", "FileSystem", "EventLoop",
                "Timekeeping", "Diagnosis", logging,
            ]),
    ],
    swiftLanguageModes: [.v6]
)

// The fuzzer is built by itself (tools/fuzz.py): it is nothing without libFuzzer, which instruments all that it is linked with.
if Context.environment["VTA_FUZZ"] != nil {
    package.targets += [
        .systemLibrary(name: "CLibFuzzer", path: "Tests/Fuzzing/CLibFuzzer"),
        .executableTarget(
            name: "fuzz",
            dependencies: [
                "CLibFuzzer", "ConfigurationImport", "Configuration", "AWSIdentity", "VaultAPI", "StateDirectory",
                "ServiceHealth", "ChildProcess", "HTTPServer", "HTTPClient", "SecretJSON", "Crypto", "Timekeeping",
                "Diagnosis",
            ],
            path: "Tests/Fuzzing", exclude: ["CLibFuzzer", "Corpora"], swiftSettings: strict,
            linkerSettings: [.unsafeFlags(["-use-ld=lld"])]),
    ]
}
