// TokenSinks: a file sink's memory of what it delivered, and what follows from what the disk holds now.
// Everything here may wait for a disk: it is called on a blocking queue.

internal import Crypto
internal import Diagnosis
internal import FileSystem
internal import Glibc
internal import Synchronization
internal import SystemCalls

/// Keeps one file as it should be.
final class KeptFile: Sendable {
    private struct Delivered {
        let token: Secret
        let plain: Secret
        /// What the file holds: `plain`, or that encrypted.
        let stored: Secret
        let modified: FileStamp.Moment
        /// Of the file when it was last found to hold that. Nil: it has not been looked at since the write, and a stranger
        /// may have been there at once.
        var seen: FileStamp?
    }

    private struct State {
        var rights: FileRights?
        var delivered: Delivered?
        /// Something is mounted on the file: it cannot be replaced, only written into.
        var inPlace = false
    }

    /// What was done, and what of it is worth a line in the log.
    struct Report: Sendable {
        var delivery = Delivery.unchanged
        var warnings: [String] = []
    }

    let place: FilePlace
    let directory: String
    let name: String
    /// Around what is stored; nil: it is stored as it is.
    private let envelope: Envelope?
    private let state = Mutex(State())

    /// Throws `configurationInvalid` for a path that is not absolute or names no file.
    init(_ place: FilePlace, _ envelope: Envelope? = nil) throws(AgentError) {
        self.place = place
        self.envelope = envelope
        guard let (directory, name) = splitPath(place.path) else {
            throw AgentError(
                .configurationInvalid, "a file sink's path is \(place.path)", remedy: "Give an absolute path of a file")
        }
        (self.directory, self.name) = (directory, name)
    }

    // MARK: At start

    /// See ``TokenSink/check()``.
    func check() throws(AgentError) -> Report {
        try state.withLock { (state) throws(AgentError) in
            let rights = try rights(&state)
            let found: FileStamp.Kind
            do throws(SystemFault) {
                let directory = try Directory(directory)
                found = try directory.stamp(of: name)?.kind ?? .regular
                if found == .regular { return try rehearse(in: directory, rights, &state) }
            } catch {
                throw error.whenChecking(directory: directory, group: rights.group)
            }
            // A rename would put a file in the place of a link or a pipe, which nobody can have meant.
            throw AgentError(
                .sinkUnwritable, "\(place.path) is \(found.rawValue), not a file",
                remedy: found == .link ? "Name the file itself as the sink's path" : "Remove it, or give another path")
        }
    }

    private func rehearse(
        in directory: borrowing Directory, _ rights: FileRights, _ state: inout State
    ) throws(SystemFault) -> Report {
        var report = Report()
        state.inPlace = directory.isMountPoint(name)
        if state.inPlace {
            report.warnings.append(Self.inPlaceWarning)
            try directory.rehearseOverwriting(name)
            return report
        }
        let leftovers = try directory.removeLeftovers { $0 == name }
        if leftovers > 0 { report.warnings.append("removed \(leftovers) temporary files of a killed agent") }
        let mode = try directory.stamp().mode
        if mode & 0o002 != 0, mode & 0o1000 == 0 {
            report.warnings.append("anyone may replace files in \(directory.path): its mode is \(octal(mode))")
        }
        try directory.rehearse(for: name, rights: rights)
        return report
    }

    private static let inPlaceWarning =
        "the file is a mount point and cannot be replaced: it is written in place, and a reader may see a torn token"

    private func rights(_ state: inout State) throws(AgentError) -> FileRights {
        if let known = state.rights { return known }
        let rights = try FileRights(mode: place.mode, owner: place.owner, group: place.group)
        state.rights = rights
        return rights
    }

    // MARK: Delivering

    /// See ``TokenSink/deliver(_:)``.
    func put(_ rendering: Rendering) throws(AgentError) -> Report {
        try state.withLock { (state) throws(AgentError) in
            let rights = try rights(&state)
            if state.delivered == nil, envelope == nil { takeOver(rendering, &state) }
            let last = state.delivered
            let isSame = last.map { $0.token == rendering.token && $0.plain == rendering.bytes } ?? false
            if isSame, try disturbance(&state) == nil { return Report() }

            var report = Report()
            let isSameToken = last.map { $0.token == rendering.token } ?? false
            report.delivery = isSame ? .restored : isSameToken ? .refreshed : .rotated
            let stored = if let envelope { try envelope.seal(rendering.bytes) } else { rendering.bytes }
            // Pollers go by the modification time: it tells when the token changed, not when it was renewed.
            let modified = report.delivery == .refreshed ? last?.modified : nil
            do throws(SystemFault) {
                let written = try write(stored, rights, modified, &state, &report)
                state.delivered = Delivered(
                    token: rendering.token, plain: rendering.bytes, stored: stored, modified: written)
            } catch {
                throw error.whenDelivering(directory: directory)
            }
            return report
        }
    }

    private func write(
        _ content: Secret, _ rights: FileRights, _ modified: FileStamp.Moment?, _ state: inout State,
        _ report: inout Report
    ) throws(SystemFault) -> FileStamp.Moment {
        let directory = try Directory(directory)
        if !state.inPlace {
            do throws(SystemFault) {
                return try directory.replace(name, with: content, rights: rights, modified: modified)
            } catch  where error.number == EBUSY && error.call == "rename" {
                state.inPlace = true
                report.warnings.append(Self.inPlaceWarning)
            }
        }
        return try directory.overwrite(name, with: content, rights: rights, modified: modified)
    }

    /// Remembers a file with the same token as if it had been delivered by this agent: after a restart the token is not
    /// another one, and what is right need not be written again.
    private func takeOver(_ rendering: Rendering, _ state: inout State) {
        guard let directory = try? Directory(directory), let stamp = try? directory.stamp(of: name),
            stamp.isRegular, let found = try? directory.content(of: name, limit: Rendering.limit),
            rendering.format.token(in: found) == rendering.token,
            // It may have been written a moment before the machine lost its power.
            (try? directory.synchronise(name)) != nil
        else { return }
        state.delivered = Delivered(
            token: rendering.token, plain: found, stored: found, modified: stamp.modified, seen: stamp)
    }

    // MARK: Looking after

    /// What is wrong with the file, compared with what was delivered last; nil where nothing is, or nothing was delivered.
    func inspect() -> SinkDisturbance? {
        state.withLock { state in
            do throws(AgentError) {
                return try disturbance(&state)
            } catch {
                return SinkDisturbance(kind: .directory, observed: error.observed)
            }
        }
    }

    private func disturbance(_ state: inout State) throws(AgentError) -> SinkDisturbance? {
        guard let delivered = state.delivered else { return nil }
        let path = place.path
        do throws(SystemFault) {
            let directory = try Directory(directory)
            guard let found = try directory.stamp(of: name) else {
                return SinkDisturbance(kind: .removed, observed: "\(path) is gone")
            }
            guard found.isRegular else {
                return SinkDisturbance(kind: .altered, observed: "\(path) is no regular file any more")
            }
            if found != delivered.seen, let change = try contentChange(found, delivered, directory) {
                return SinkDisturbance(kind: .altered, observed: "\(path) \(change)")
            }
            if found.mode != place.mode {
                return SinkDisturbance(
                    kind: .permissions, observed: "\(path) has mode \(octal(found.mode)), not \(octal(place.mode))")
            }
            let (owner, group) = (state.rights?.owner ?? found.owner, state.rights?.group ?? found.group)
            if found.owner != owner || found.group != group {
                return SinkDisturbance(
                    kind: .permissions,
                    observed: "\(path) belongs to \(found.owner):\(found.group), not \(owner):\(group)")
            }
            // Touched and as it was: nothing to put right.
            state.delivered?.seen = found
            return envelope?.inspect()
        } catch {
            let isGone = error.number == ENOENT || error.number == ENOTDIR
            return SinkDisturbance(kind: isGone ? .directory : .altered, observed: error.observed)
        }
    }

    /// What the file holds; nil where it cannot be read or is larger than any sink.
    func content() -> Secret? {
        try? Directory(directory).content(of: name, limit: Rendering.limit)
    }

    private func contentChange(
        _ found: FileStamp, _ delivered: Delivered, _ directory: borrowing Directory
    ) throws(SystemFault) -> String? {
        guard found.size == delivered.stored.count else {
            return found.size == 0 ? "is empty" : "has \(found.size) bytes, not \(delivered.stored.count)"
        }
        return try directory.file(name, holds: delivered.stored) ? nil : "has other content"
    }

    // MARK: Withdrawing

    /// See ``TokenSink/withdraw()``.
    func withdraw() throws(AgentError) {
        try state.withLock { (state) throws(AgentError) in
            state.delivered = nil
            do throws(SystemFault) {
                let directory = try Directory(directory)
                if state.inPlace {
                    try directory.empty(name)
                    return
                }
                guard directory.remove(name) || errno == ENOENT else { throw SystemFault("unlink", place.path) }
                try directory.synchronise()
            } catch {
                if error.number == ENOENT { return }
                throw error.whenDelivering(directory: directory)
            }
        }
    }
}
