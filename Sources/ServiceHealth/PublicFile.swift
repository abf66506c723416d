// ServiceHealth: files that others read while the agent rewrites them: the status file and the metrics file.

private import Crypto
internal import Diagnosis
internal import FileSystem
private import Glibc
private import Synchronization
private import SystemCalls

/// A file that everybody may read, for there is no secret in it. Its directory must exist. May wait for a disk.
final class PublicFile: Sendable {
    let path: String
    private let isTidy = Mutex(false)

    init(path: String) {
        self.path = path
    }

    /// Throws `stateUnwritable`; the old content then stands.
    func replace(with text: String) throws(AgentError) {
        _ = try change { (directory, name) throws(SystemFault) in
            try directory.replace(name, with: Secret(text: text), rights: FileRights(mode: 0o644))
        }
    }

    /// Sets the time of last change to now. False where the file is gone.
    func touch() throws(AgentError) -> Bool {
        try change { (directory, name) throws(SystemFault) in try directory.touch(name) }
    }

    private func change<Result>(
        _ body: (borrowing Directory, String) throws(SystemFault) -> Result
    ) throws(AgentError) -> Result {
        do throws(SystemFault) {
            guard let (directory, name) = splitPath(path) else {
                throw SystemFault("open", path, number: EINVAL)
            }
            let place = try Directory(directory)
            let isFirst = isTidy.withLock { isTidy in
                defer { isTidy = true }
                return !isTidy
            }
            if isFirst { _ = try? place.removeLeftovers { $0 == name } }
            return try body(place, name)
        } catch {
            throw AgentError(
                .stateUnwritable, "cannot \(error.call) \(error.subject): \(error.words)",
                remedy: error.remedy(directory: splitPath(path)?.directory ?? path))
        }
    }
}
