// StateDirectory: which boot of the machine this is, and so which clock since boot.

private import Crypto
private import FileSystem
private import Glibc
private import SystemCalls

package enum MachineBoot {
    /// The kernel's name for this boot, the same in all containers of a machine, and by how much the time namespace that this
    /// process is in sets its clock since boot apart: moments of equal names can be compared. Nil where either cannot be read.
    /// `VAULT_TOKEN_AGENT_BOOT_ID` is for where the kernel's name is hidden, as by systemd's `ProcSubset=pid`.
    package static func identifier(_ environment: [String: String]) -> String? {
        let kernels = content(of: "boot_id", in: "/proc/sys/kernel/random") ?? ""
        let given = kernels.isEmpty ? environment["VAULT_TOKEN_AGENT_BOOT_ID"] ?? "" : kernels
        // systemd writes it without dashes.
        let name = given.filter { $0 != "-" && $0 != "\n" }
        guard (1...64).contains(name.utf8.count), name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x2F }),
            let offsets = content(of: "timens_offsets", in: "/proc/self")
        else { return nil }
        // "boottime    315360000         0": seconds and nanoseconds.
        let offset = offsets.split(separator: "\n").map { $0.split(separator: " ") }.first { $0.first == "boottime" }
        return ([name] + (offset?.dropFirst() ?? []).map(String.init)).joined(separator: "/")
    }

    /// Empty where the kernel has no such file: without time namespaces there are no offsets.
    private static func content(of name: String, in directory: String) -> String? {
        do throws(SystemFault) {
            return try Directory(directory).content(of: name, limit: 256)?.text
        } catch {
            return error.number == ENOENT ? "" : nil
        }
    }
}
