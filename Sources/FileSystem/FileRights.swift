// FileSystem: who may do what with a file, given by its descriptor: a name might lead elsewhere by then.

private import CLinux
internal import SystemCalls

/// The rights that a file has before it has any content.
package struct FileRights: Hashable, Sendable {
    package let mode: UInt16
    /// Nil: this process's own.
    package let owner: UInt32?
    /// Nil: the one that the kernel gives a new file, which is the directory's where that has the set-group-ID bit (as a
    /// Kubernetes volume with `fsGroup` does), else the process's own.
    package let group: UInt32?

    package init(mode: UInt16, owner: UInt32? = nil, group: UInt32? = nil) {
        (self.mode, self.owner, self.group) = (mode, owner, group)
    }

    /// For the agent alone.
    package static let agentOnly = FileRights(mode: 0o600)

    /// Sets what differs, and lets nobody in between who has no right before or after: what both modes forbid is forbidden
    /// first; the owner comes last, for then the file is somebody else's to change.
    func apply(to file: borrowing Descriptor, path: String) throws(SystemFault) {
        let now = try FileStamp(descriptor: file.number, path: path)
        var current = now.mode
        func change(mode: UInt16) throws(SystemFault) {
            guard mode != current else { return }
            guard vta_change_mode(file.number, mode_t(mode)) == 0 else { throw SystemFault("chmod", path) }
            current = mode
        }
        func change(owner: UInt32 = .max, group: UInt32 = .max) throws(SystemFault) {
            guard vta_change_owner(file.number, owner, group) == 0 else { throw SystemFault("chown", path) }
        }
        if let group, group != now.group {
            try change(mode: current & mode)
            try change(group: group)
        }
        try change(mode: mode)
        if let owner, owner != now.owner { try change(owner: owner) }
    }
}
