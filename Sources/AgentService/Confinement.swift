// AgentService: the agent gives up writing anywhere but where it is told to, for good, where the kernel has Landlock.
//
// The kernel goes by directories, not by their names: one that is made anew or mounted over later is another, unless a directory
// above it is listed. Reading, running programs and connecting stay as they were, and so do modes, owners and times of files.

import CLinux
import Diagnosis
import Glibc
import SystemCalls

/// What the process has given up. Children have given it up too.
struct Confinement: Sendable {
    /// Below these alone something can be written.
    let directories: [String]
    /// Of the kernel's Landlock: from 1 on.
    let version: Int32

    private enum Access {
        static let writeFile: UInt64 = 1 << 1
        static let removeDirectory: UInt64 = 1 << 4
        static let removeFile: UInt64 = 1 << 5
        static let makeCharacterDevice: UInt64 = 1 << 6
        static let makeDirectory: UInt64 = 1 << 7
        static let makeFile: UInt64 = 1 << 8
        static let makeSocket: UInt64 = 1 << 9
        static let makePipe: UInt64 = 1 << 10
        static let makeBlockDevice: UInt64 = 1 << 11
        static let makeLink: UInt64 = 1 << 12
        /// To rename or link from one directory into another; version 1 refuses that altogether.
        static let refer: UInt64 = 1 << 13
        static let truncate: UInt64 = 1 << 14

        static let devices = makeCharacterDevice | makeBlockDevice

        static func all(of version: Int32) -> UInt64 {
            var all = writeFile | removeDirectory | removeFile | makeDirectory | makeFile | makeSocket | makePipe
            all |= makeLink | devices
            if version >= 2 { all |= refer }
            if version >= 3 { all |= truncate }
            return all
        }
    }

    /// What programs write to without leaving anything.
    private static let bottomless = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"]

    /// Nil: the kernel cannot, and `errno` says why.
    private static func kernelVersion() -> Int32? {
        let version = vta_landlock_version()
        return version >= 1 ? version : nil
    }

    /// Confines the process. To be called while the main thread is the only one: the kernel asks each thread for itself, and
    /// those that it starts later inherit it.
    ///
    /// Nil where the kernel cannot. Throws `stateUnwritable` for a directory that cannot be opened.
    static func apply(to directories: [String]) throws(AgentError) -> Confinement? {
        guard let version = kernelVersion() else { return nil }
        do throws(SystemFault) {
            try requireOneThread()
            let all = Access.all(of: version)
            let rules = try Descriptor(vta_landlock_ruleset(all), "landlock_create_ruleset", "(Landlock \(version))")
            for directory in directories {
                let place = try open(directory, O_DIRECTORY)
                try grant(all & ~Access.devices, at: place, in: rules, directory)
            }
            for file in bottomless {
                guard let place = try? open(file, 0) else { continue }
                try grant(all & (Access.writeFile | Access.truncate), at: place, in: rules, file)
            }
            guard vta_landlock_enforce(rules.number) == 0 else {
                throw SystemFault("landlock_restrict_self", "(Landlock \(version))")
            }
        } catch {
            throw AgentError(
                .stateUnwritable, "cannot confine itself to \(directories.joined(separator: ", ")): \(error.observed)",
                remedy: error.number == ENOENT || error.number == ENOTDIR
                    ? "What confine_to lists must be there when the agent starts: make it, or list a directory above it"
                    : error.limitRemedy)
        }
        return Confinement(directories: directories, version: version)
    }

    /// Whoever was there before would not be confined.
    private static func requireOneThread() throws(SystemFault) {
        let path = "/proc/self/task"
        let tasks = try open(path, O_DIRECTORY, access: O_RDONLY)
        guard try tasks.names(path: path).count(where: { !$0.hasPrefix(".") }) == 1 else {
            throw SystemFault("landlock_restrict_self", "(there are other threads already)", number: EBUSY)
        }
    }

    private static func open(
        _ path: String, _ kind: Int32, access: Int32 = vta_open_place
    ) throws(SystemFault) -> Descriptor {
        // SAFETY: the path is lent for the call only.
        try Descriptor(unsafe Glibc.open(path, access | kind | O_CLOEXEC), "open", path)
    }

    private static func grant(
        _ accesses: UInt64, at place: borrowing Descriptor, in rules: borrowing Descriptor, _ path: String
    ) throws(SystemFault) {
        guard vta_landlock_grant(rules.number, place.number, accesses) == 0 else {
            throw SystemFault("landlock_add_rule", path)
        }
    }
}
