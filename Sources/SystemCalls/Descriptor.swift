// SystemCalls: descriptors have owners. Nothing else in the agent closes one, so none is closed twice, when its number is
// another's already, and none is forgotten.

private import Glibc
private import Synchronization

/// An open descriptor with one owner; closed when that ends.
package struct Descriptor: ~Copyable, Sendable {
    /// For system calls. Not to be kept: it means this descriptor only for as long as there is an owner.
    package let number: Int32

    /// Takes over what a system call returned, or throws what `errno` says where that is negative.
    package init(_ result: Int32, _ call: String, _ subject: String) throws(SystemFault) {
        guard result >= 0 else { throw SystemFault(call, subject) }
        number = result
    }

    /// The names in this directory, `.` and `..` among them, in no order; at most `limit`. `path` is for the error only.
    package func names(limit: Int = .max, path: String) throws(SystemFault) -> [String] {
        // A description of its own: reading moves the position that duplicates would share.
        let listing = try Descriptor(unsafe openat(number, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", path)
        // SAFETY: `stream` takes the descriptor over and is closed once; an entry is read before the next call.
        guard let stream = unsafe fdopendir(listing.number) else { throw SystemFault("open", path) }
        listing.release()
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while names.count < limit, let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { name in
                unsafe String(cString: UnsafeRawPointer(name).assumingMemoryBound(to: CChar.self))
            }
            names.append(name)
        }
        return names
    }

    /// Somebody else owns the number now.
    private consuming func release() {
        discard self
    }

    deinit {
        close(number)
    }
}

/// Carries a descriptor where only copyable values go: through a continuation, in a tuple. Closed unless it is taken out.
package final class CarriedDescriptor: Sendable {
    private let content: Mutex<Descriptor?>

    package init(_ descriptor: consuming Descriptor) {
        content = Mutex(descriptor)
    }

    /// Nil for all but the first who asks.
    package func take() -> Descriptor? {
        content.withLock { $0.take() }
    }
}
