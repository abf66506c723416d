// StateDirectory: small files in the state directory, mode 0600, replaced as a whole.

private import Glibc
package import SystemCalls

package enum StateFile {
    /// A reader sees the old content or the new. Not made durable: what is lost costs the next start a request.
    package static func replace(_ path: String, with text: String) throws(SystemFault) {
        let temporary = "\(path).new"
        unsafe unlink(temporary)
        do throws(SystemFault) {
            let file = try Descriptor(
                unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600), "create", temporary
            )
            let count = unsafe write(file.number, text, text.utf8.count)
            guard count == text.utf8.count else {
                throw SystemFault("write", temporary, number: count < 0 ? errno : ENOSPC)
            }
            guard unsafe rename(temporary, path) == 0 else { throw SystemFault("rename", path) }
        } catch {
            unsafe unlink(temporary)
            throw error
        }
    }
}
