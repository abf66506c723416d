// TokenSinks: where a sink really stands, whatever its path goes through.

internal import FileSystem

/// Two sinks of one standing are one file or one socket, as by `/var/run` that is a link to `/run`.
package struct SinkStanding: Hashable, Sendable {
    private let device: UInt64
    private let inode: UInt64
    private let name: String

    /// The same for any other path that may lead to a sink.
    package init?(_ path: String) {
        guard let place = splitPath(path) else { return nil }
        self.init(place.name, in: place.directory)
    }

    /// Nil where the directory cannot be opened. Waits for its disk.
    init?(_ name: String, in directory: String) {
        guard let stamp = try? Directory(directory).stamp() else { return nil }
        (device, inode, self.name) = (stamp.device, stamp.inode, name)
    }
}
