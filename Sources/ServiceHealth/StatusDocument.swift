// ServiceHealth: what the status file holds, as its writer and its readers share it. Times are RFC 3339, UTC.

private import CLinux
package import Diagnosis
private import FileSystem
private import Glibc
private import SystemCalls
package import Timekeeping
import TokenLifecycle

/// The status file's content. Fields may be added within a format; one that changes or goes makes a new format.
package struct StatusDocument: Hashable, Sendable {
    package static let currentFormat = 1
    /// Longest file that is read, in bytes: some thousand tokens.
    package static let largestFile = 4 << 20
    /// Longest text taken over from an error, in bytes.
    private static let longestText = 1_000

    package struct Failure: Hashable, Sendable {
        /// ``AgentError/Code``, as docs/troubleshooting.md lists them.
        package var code: String
        package var observed: String
        package var remedy: String
        /// When the row of failures began; absent for a refused configuration.
        package var since: String?
        package var attempts: Int?
    }

    package struct Sink: Hashable, Sendable {
        package var name: String
        package var delivered: Bool
        package var trouble: Failure?
    }

    package struct Counters: Hashable, Sendable {
        package var logins: Int
        package var renewals: Int
        package var lookups: Int
        package var sinkWrites: Int
        package var sinkRepairs: Int
        /// By ``AgentError/Code``.
        package var failures: [String: Int]
    }

    /// How the latest reload ended.
    package struct Reload: Hashable, Sendable {
        package struct Token: Hashable, Sendable {
            package var token: String
            package var change: String
        }

        /// Counts those of this process, refused ones too.
        package var number: Int
        /// When it began, to the millisecond.
        package var at: String
        package var tokens: [Token]
        package var refused: Failure?
    }

    /// A place where machines may ask how the agent is.
    package struct Listener: Hashable, Sendable {
        package var address: String
        /// `metrics`, `probes`, `metrics and probes`.
        package var serves: String
        package var trouble: Failure?
    }

    /// How the latest `logout` went.
    package struct Logout: Hashable, Sendable {
        package struct Token: Hashable, Sendable {
            package var token: String
            /// Why it was not revoked; absent: it was, or there was none.
            package var failure: Failure?
        }

        /// Counts those of this process.
        package var number: Int
        package var at: String
        /// Names of those that are not through yet.
        package var pending: [String]
        package var tokens: [Token]
    }

    /// ``OutageBudget``
    package struct OutageBudget: Hashable, Sendable {
        package var withoutVaultUntil: String?
        package var withoutAWSUntil: String?
        package var renewedWithoutAWS: Bool
    }

    package struct Token: Hashable, Sendable {
        package var name: String
        /// ``TokenHealth/Phase``.
        package var phase: String
        package var since: String
        /// Whether every sink holds a valid token.
        package var served: Bool
        package var validUntil: String?
        package var neverExpires: Bool
        /// Absent: readers of a sink have no valid token, or an older version wrote the file.
        package var outageBudget: OutageBudget?
        /// The whole of the lease that ends then. Absent: not known.
        package var leaseSeconds: Int64?
        /// ``TokenHealth/Step``.
        package var nextStep: String?
        package var nextAt: String?
        package var trouble: Failure?
        package var sinks: [Sink]
        package var counters: Counters
        /// A digest for each part of the configuration in force; absent for children.
        package var configuration: [String: String]?
    }

    package var format: Int
    package var version: String
    /// The agent's process, in its own namespace.
    package var pid: Int
    package var startedAt: String
    package var writtenAt: String
    package var ready: Bool
    /// Whether every sink has held a valid token at some time, in this process or one before it that left its status file
    /// here. Absent in the files of older versions.
    package var onceReady: Bool?
    package var stopping: Bool
    /// What is in force. Absent in the files of older versions.
    package var configuration: ConfigurationText?
    package var configurationTrouble: Failure?
    package var lastReload: Reload?
    package var lastLogout: Logout?
    package var listeners: [Listener]
    /// Below which directories alone the process can write. Absent: wherever its user may, or an older version wrote the file.
    package var confinedTo: [String]?
    /// How many seconds STS's time is ahead of this machine's, where that is more than signatures bear.
    package var clockBehindSeconds: Int64?
    package var tokens: [Token]

    package init(_ health: AgentHealth, onceReady: Bool = false, at now: WallTime) {
        format = Self.currentFormat
        version = health.version
        pid = Int(getpid())
        startedAt = health.startedAt.rfc3339
        writtenAt = now.rfc3339
        ready = health.ready
        self.onceReady = onceReady || health.ready
        stopping = health.stopping
        configuration = health.configuration.map { .init(name: Self.bounded($0.name), digest: $0.digest) }
        configurationTrouble = health.configurationTrouble.map { Failure($0) }
        lastReload = health.lastReload.map { Reload($0) }
        lastLogout = health.lastLogout.map { Logout($0) }
        listeners = health.listeners.map { listener in
            Listener(
                address: listener.address, serves: listener.pages.words,
                trouble: listener.trouble.map { Failure($0) })
        }
        confinedTo = health.confinedTo
        clockBehindSeconds = health.clockCorrection?.components.seconds
        tokens = health.tokens.map { Token($0) }
    }

    fileprivate static func bounded(_ text: String) -> String {
        printable(text, limit: longestText)
    }
}

extension StatusDocument.Failure {
    fileprivate init(_ error: AgentError) {
        code = error.code.rawValue
        observed = StatusDocument.bounded(error.observed)
        remedy = StatusDocument.bounded(error.remedy)
    }

    fileprivate init(_ trouble: Trouble) {
        self.init(trouble.error)
        since = trouble.since.rfc3339
        attempts = trouble.attempts
    }
}

extension StatusDocument.Reload {
    fileprivate init(_ report: ReloadReport) {
        number = report.number
        at = report.at.rfc3339Milliseconds
        tokens = report.tokens.map { .init(token: $0.token, change: $0.change) }
        refused = report.refused.map { StatusDocument.Failure($0) }
    }
}

extension StatusDocument.Logout {
    fileprivate init(_ report: LogoutReport) {
        number = report.number
        at = report.at.rfc3339
        pending = report.pending
        tokens = report.tokens.map { .init(token: $0.token, failure: $0.failure.map { StatusDocument.Failure($0) }) }
    }
}

extension StatusDocument.Token {
    fileprivate init(_ health: TokenHealth) {
        name = health.name
        phase = health.phase.rawValue
        since = health.since.rfc3339
        served = health.served
        validUntil = health.validUntil?.rfc3339
        neverExpires = health.neverExpires
        outageBudget = health.outageBudget.map {
            StatusDocument.OutageBudget(
                withoutVaultUntil: $0.withoutVault?.rfc3339, withoutAWSUntil: $0.withoutAWS?.rfc3339,
                renewedWithoutAWS: $0.isRenewedWithoutAWS)
        }
        leaseSeconds = health.lease?.components.seconds
        nextStep = health.nextStep?.rawValue
        nextAt = health.nextAt?.rfc3339
        trouble = health.trouble.map { StatusDocument.Failure($0) }
        sinks = health.sinks.map { sink in
            StatusDocument.Sink(
                name: StatusDocument.bounded(sink.name), delivered: sink.delivered,
                trouble: sink.trouble.map { StatusDocument.Failure($0) })
        }
        let counts = health.counters
        counters = StatusDocument.Counters(
            logins: counts.logins, renewals: counts.renewals, lookups: counts.lookups, sinkWrites: counts.sinkWrites,
            sinkRepairs: counts.sinkRepairs,
            failures: Dictionary(uniqueKeysWithValues: counts.failures.map { ($0.rawValue, $1) }))
        configuration = health.configuration.isEmpty ? nil : health.configuration
    }
}

/// The status file as it was found.
package struct StatusReading: Hashable, Sendable {
    package var document: StatusDocument
    /// Whether a running agent holds the lock beside the file; nil where that cannot be told.
    package var isHeld: Bool?
    /// When the agent last made progress: the file's time of last change.
    package var heartbeat: WallTime

    package init(document: StatusDocument, heartbeat: WallTime) {
        self.document = document
        self.heartbeat = heartbeat
    }

    /// Throws `fileUnreadable`: no such file, not a regular file, longer than ``StatusDocument/largestFile``, not a document.
    package init(path: String) throws(AgentError) {
        // O_NONBLOCK: a FIFO in its place must not make the reader wait.
        let file: Descriptor
        do throws(SystemFault) {
            file = try Descriptor(unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), "read", path)
        } catch {
            throw AgentError(
                .fileUnreadable, "cannot read the status file \(path): \(error.words)",
                remedy: error.number == ENOENT
                    ? "Is the agent running, and is this the status_file of its configuration?" : "")
        }
        var status = stat()
        guard unsafe fstat(file.number, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
            status.st_size <= StatusDocument.largestFile
        else {
            throw AgentError(.fileUnreadable, "\(path) is not a file of at most \(StatusDocument.largestFile) bytes")
        }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        // SAFETY: the kernel writes at most `bytes.count` bytes into the array.
        let count = unsafe read(file.number, &bytes, bytes.count)
        document = try StatusDocument(json: Array(bytes.prefix(max(0, count))), from: path)
        isHeld = FileLock.isHeld(path: AgentLock.path(besides: path))
        heartbeat =
            WallTime(secondsSince1970: Int64(status.st_mtim.tv_sec)) + .nanoseconds(Int64(status.st_mtim.tv_nsec))
    }
}
