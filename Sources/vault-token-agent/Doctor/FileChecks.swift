// The command line, `doctor`: the files that the configuration names: are they there, and who may do what with them?

private import CLinux
internal import Configuration
internal import Diagnosis
private import Glibc
private import HTTPClient
private import ServiceHealth
private import SystemCalls
private import TokenSinks
private import VaultAPI

enum FileChecks {
    private struct Named: Hashable {
        let path: String
        let what: String
        /// Nobody but its owner, and at most a group, should read it.
        var isSecret = false
        var mode = R_OK
        /// Whether a login needs it; a reader's public key and a program may come later.
        var isNeededAtStart = true
    }

    /// The files without which no login can be made, as far as they cannot be read. Whether another user could read them
    /// is not known: one that only its rights keep from this user says so by `EACCES` as its reason.
    static func unreadable(_ configuration: AgentConfiguration) -> [(error: AgentError, isDenied: Bool)] {
        var seen: Set<Named> = []
        let named = configuration.tokens.flatMap { filesToRead($0) }.filter {
            $0.isNeededAtStart && seen.insert($0).inserted
        }
        return named.compactMap { named in
            // SAFETY: the path is lent for the call only.
            guard unsafe access(named.path, named.mode) != 0 else { return nil }
            let number = errno
            return (unusable(named.path, number, to: "read"), number == EACCES)
        }
    }

    static func findings(_ configuration: AgentConfiguration) -> [Finding] {
        var seen: Set<Named> = []
        let named = configuration.tokens.flatMap { filesToRead($0) }.filter { seen.insert($0).inserted }
        var findings = named.map { finding($0) } + configuration.tokens.flatMap(\.sinks).compactMap { wrongKey(of: $0) }
        if let directory = configuration.stateDirectory {
            findings.append(writable(directory, what: "state_directory"))
        } else {
            findings.append(.ok("state", "none is kept: each start logs in anew"))
        }
        for (file, key) in [
            (configuration.health.statusFile, "status_file"),
            (configuration.health.metricsTextfile, "metrics.textfile"),
        ] {
            guard let file, let slash = file.lastIndex(of: "/") else { continue }
            findings.append(writable(String(file[..<slash]), what: key))
        }
        return findings + confinement(configuration)
    }

    /// A reader's public key that can be read and is none.
    private static func wrongKey(of sink: SinkSettings) -> Finding? {
        // SAFETY: the path is lent for the call only.
        guard let encryption = sink.encryption, unsafe access(encryption.publicKeyPath, R_OK) == 0 else { return nil }
        do throws(AgentError) {
            try encryption.checkKey()
            return nil
        } catch {
            return .failed("public key", error)
        }
    }

    /// None where it is not asked for.
    private static func confinement(_ configuration: AgentConfiguration) -> [Finding] {
        let directories = configuration.confineTo
        guard !directories.isEmpty else { return [] }
        let version = vta_landlock_version()
        guard version >= 1 else {
            return [.warning("confine_to", "without effect, this kernel has no Landlock: \(errorText(errno))")]
        }
        var places: [String] = []
        for directory in directories {
            guard let place = realPath(directory) else {
                return [.failed("confine_to", unusable(directory, errno, to: "be confined to", code: .stateUnwritable))]
            }
            places.append(place)
        }
        let files = [configuration.health.statusFile, configuration.health.metricsTextfile].compactMap(\.self)
        let leadingOut = (files + configuration.tokens.flatMap(\.sinks).map(\.path)).compactMap { file -> Finding? in
            guard let slash = file.lastIndex(of: "/"), let place = realPath(String(file[..<slash])),
                !places.contains(where: { (place + "/").hasPrefix($0 + "/") })
            else { return nil }
            return .failed(
                "confine_to",
                AgentError(
                    .sinkUnwritable, "\(file) is written in \(place), by a link out of what is listed",
                    remedy: "List \(place), or a directory above it"))
        }
        return leadingOut.isEmpty
            ? [.ok("confine_to", "Landlock \(version): \(directories.joined(separator: ", "))")] : leadingOut
    }

    /// Where all links lead; nil: nowhere, `errno` says why.
    private static func realPath(_ path: String) -> String? {
        // SAFETY: the path is lent for the call only; the answer is copied before it is freed.
        guard let found = unsafe realpath(path, nil) else { return nil }
        defer { unsafe free(found) }
        return unsafe String(cString: found)
    }

    private static func filesToRead(_ token: TokenSettings) -> [Named] {
        let tls = token.vault.tls
        var files: [Named?] = [
            tls.caFile.map { Named(path: $0, what: "CA certificate") },
            tls.caDirectory.map { Named(path: $0, what: "CA directory", mode: R_OK | X_OK) },
            tls.clientCertificateFile.map { Named(path: $0, what: "client certificate") },
            tls.clientKeyFile.map { Named(path: $0, what: "client key", isSecret: true) },
            tls.clientKeyPassphraseFile.map { Named(path: $0, what: "passphrase", isSecret: true) },
        ]
        if case .ec2(let ec2) = token.login.method {
            files.append(ec2.nonceFile.map { Named(path: $0, what: "nonce", isSecret: true) })
        }
        files += token.sinks.map { sink in
            sink.encryption.map { Named(path: $0.publicKeyPath, what: "public key", isNeededAtStart: false) }
        }
        for action in [token.onChange] + token.sinks.map(\.onChange) {
            if case .command(let command, _)? = action, let program = command.first {
                files.append(Named(path: program, what: "program", mode: X_OK, isNeededAtStart: false))
            }
        }
        return files.compactMap { $0 }
    }

    private static func finding(_ named: Named) -> Finding {
        let (subject, path) = (named.what, named.path)
        // SAFETY: the path is lent for the call only.
        guard unsafe access(path, named.mode) == 0 else {
            return .failed(subject, unusable(path, errno, to: named.mode == X_OK ? "run" : "read"))
        }
        var status = stat()
        // SAFETY: the kernel fills the one structure.
        if named.isSecret, unsafe stat(path, &status) == 0, status.st_mode & S_IROTH != 0 {
            return .warning(subject, "\(path) can be read by every user: chmod o-r \(path)")
        }
        return .ok(subject, path)
    }

    private static func writable(_ directory: String, what key: String) -> Finding {
        // SAFETY: the path is lent for the call only.
        guard unsafe access(directory, W_OK | X_OK) == 0 else {
            return .failed(key, unusable(directory, errno, to: "write in", code: .stateUnwritable))
        }
        return .ok(key, directory)
    }

    private static func unusable(
        _ path: String, _ number: Int32, to verb: String, code: AgentError.Code = .fileUnreadable
    ) -> AgentError {
        let remedy =
            switch number {
            case ENOENT: "Make it, or correct the path"
            case EACCES: "Let uid \(geteuid()) \(verb) it: namei -l \(path)"
            case EROFS: "The file system is read-only: under systemd see ReadWritePaths="
            default: ""
            }
        return AgentError(code, "cannot \(verb) \(path): \(errorText(number))", remedy: remedy)
    }
}
