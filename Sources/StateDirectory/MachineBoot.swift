// StateDirectory: which boot of the machine this is.

private import Crypto
private import FileSystem

package enum MachineBoot {
    /// The kernel's name for this boot, the same in all containers of a machine; nil where it cannot be read.
    package static func identifier() -> String? {
        let content = try? Directory("/proc/sys/kernel/random").content(of: "boot_id", limit: 64)
        let name = content.flatMap { $0 }?.text.prefix { $0 != "\n" } ?? ""
        return !name.isEmpty && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } ? String(name) : nil
    }
}
