// TokenSinks: users and groups, by name or number.

internal import Diagnosis
internal import FileSystem
internal import Glibc
internal import SystemCalls

extension FileRights {
    /// For a sink. Throws `sinkUnwritable` for a name that this machine does not know (yet). Asks the name service, which may
    /// block.
    init(mode: UInt16, owner: String?, group: String?) throws(AgentError) {
        self.init(
            mode: mode, owner: try owner.map { (name) throws(AgentError) in try userIdentifier(name) } ?? geteuid(),
            group: try group.map { (name) throws(AgentError) in try groupIdentifier(name) })
    }
}

func userIdentifier(_ name: String) throws(AgentError) -> uid_t {
    if let number = identifierNumber(name) { return number }
    let found: uid_t? = try unsafe lookUp("user", name) { start, size in
        var entry = unsafe passwd()
        var result: UnsafeMutablePointer<passwd>?
        // SAFETY: the C library writes within the buffer whose size it is told; `entry` is read while that lives.
        let status = unsafe getpwnam_r(name, &entry, start, size, &result)
        return unsafe (status, result == nil ? nil : entry.pw_uid)
    }
    guard let found else {
        throw AgentError(
            .sinkUnwritable, "user \(name) is unknown on this machine", remedy: "Create it, or give a number")
    }
    return found
}

func groupIdentifier(_ name: String) throws(AgentError) -> gid_t {
    if let number = identifierNumber(name) { return number }
    let found: gid_t? = try unsafe lookUp("group", name) { start, size in
        var entry = unsafe group()
        var result: UnsafeMutablePointer<group>?
        // SAFETY: as for users.
        let status = unsafe getgrnam_r(name, &entry, start, size, &result)
        return unsafe (status, result == nil ? nil : entry.gr_gid)
    }
    guard let found else {
        throw AgentError(
            .sinkUnwritable, "group \(name) is unknown on this machine", remedy: "Create it, or give a number")
    }
    return found
}

/// Whether the name service has this process's user in a group that the process was not given when it was started. Asks the
/// name service, which may block.
func isMembershipNewerThanProcess(_ group: gid_t) -> Bool {
    var own = [gid_t](repeating: 0, count: 1 << 16)
    // SAFETY: the kernel writes at most as many numbers as it is told the array has.
    let count = unsafe getgroups(Int32(own.count), &own)
    guard count >= 0, !own[..<Int(count)].contains(group), getegid() != group else { return false }
    var entry = unsafe passwd()
    var found: UnsafeMutablePointer<passwd>?
    var text = [CChar](repeating: 0, count: largestUserEntry)
    // SAFETY: the C library writes within the array whose size it is told; the entry's name is read while that lives.
    guard unsafe getpwuid_r(geteuid(), &entry, &text, text.count, &found) == 0, unsafe found != nil else {
        return false
    }
    var known = Int32(own.count)
    guard unsafe getgrouplist(entry.pw_name, entry.pw_gid, &own, &known) >= 0 else { return false }
    return own[..<Int(known)].contains(group)
}

/// Name, home and shell.
private let largestUserEntry = 16 << 10

/// A user or group given as a number. The largest is no identifier: to chown it means "leave as it is".
private func identifierNumber(_ text: String) -> UInt32? {
    guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), let number = UInt32(text), number != .max
    else {
        return nil
    }
    return number
}

/// Largest entry of the user or group database that is read: a group of tens of thousands of members fits.
private let largestEntry = 1 << 20

/// Calls `query` with a buffer that grows until the entry fits.
private func lookUp(
    _ kind: String, _ name: String, _ query: (UnsafeMutablePointer<CChar>, Int) -> (status: Int32, found: UInt32?)
) throws(AgentError) -> UInt32? {
    guard !name.utf8.contains(0) else { return nil }
    var size = 1 << 10
    while true {
        let buffer = UnsafeMutablePointer<CChar>.allocate(capacity: size)
        defer { unsafe buffer.deallocate() }
        let (status, found) = unsafe query(buffer, size)
        switch status {
        case 0: return found
        case EINTR: continue
        case ERANGE where size < largestEntry: size *= 4
        case ENOENT, ESRCH: return nil
        default:
            throw AgentError(
                .sinkUnwritable, SystemFault("looking up \(kind)", name, number: status).observed,
                remedy: "Check the name service (nsswitch.conf), or give a number")
        }
    }
}
