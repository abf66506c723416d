// StateDirectory: which boot of the machine this is.

private import Glibc
private import SystemCalls

package enum MachineBoot {
    /// The kernel's name for this boot, the same in all containers of a machine; nil where it cannot be read.
    package static func identifier() -> String? {
        let path = "/proc/sys/kernel/random/boot_id"
        guard let file = try? Descriptor(unsafe open(path, O_RDONLY | O_CLOEXEC), "open", path) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 64)
        // SAFETY: the kernel writes at most as many bytes as the array has.
        let count = unsafe read(file.number, &bytes, bytes.count)
        let name = bytes.prefix(max(0, count)).prefix { $0 != UInt8(ascii: "\n") }
        guard !name.isEmpty, name.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
        return String(decoding: name, as: UTF8.self)
    }
}
