// The command line: what the process was given: its environment, its outputs, the calendar.

private import CLinux
private import Glibc
internal import SystemCalls
internal import Timekeeping

/// Writes text to standard output, unbuffered, so that what a reader sees is what was written. False: the reader has gone.
@discardableResult
func output(_ text: String) -> Bool {
    let fault = write(text, to: STDOUT_FILENO)
    // A reader that has gone (`| head`) is nothing to complain of; half an answer in a file that others trust is.
    guard fault != 0 && fault != EPIPE else { return fault == 0 }
    writeToStandardError("vault-token-agent: cannot write to standard output: \(errorText(fault))")
    endProcess(EX_IOERR)
}

/// The only way in which the program ends by itself. Nothing is torn down: worker threads may still be at work in libcrypto,
/// whose own clean-up would take what they use from under them.
func endProcess(_ status: Int32) -> Never {
    // What libraries have printed is not lost.
    fflush(nil)
    _exit(status)
}

/// The same as that signal ends it by default: the end of a program that ran in this one's place.
func endProcess(bySignal number: Int32) -> Never {
    fflush(nil)
    vta_end_by_signal(number)
    _exit(128 + number)
}

/// Writes one line for people to standard error. What cannot be written is lost: there is nowhere else to say it.
func writeToStandardError(_ line: String) {
    _ = write(line + "\n", to: STDERR_FILENO)
}

/// A file that was not there before, with this mode whatever the process's mask. One that cannot be written whole is none.
func writeNewFile(_ path: String, _ text: String, mode: UInt32) throws(SystemFault) {
    // SAFETY: the path is lent for the call only.
    let file = try Descriptor(unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600), "create", path)
    let fault = write(text, to: file.number)
    guard fault == 0, fchmod(file.number, mode) == 0 else {
        let fault = fault == 0 ? errno : fault
        // SAFETY: the path is lent for the call only.
        _ = unsafe unlink(path)
        throw SystemFault("write", path, number: fault)
    }
}

/// 0, or the error number.
private func write(_ text: String, to descriptor: Int32) -> Int32 {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        // SAFETY: the kernel reads `count` bytes of a buffer that outlives the call.
        let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
        if count < 0 && errno != EINTR { return errno }
        rest = rest.dropFirst(max(0, count))
    }
    return 0
}

/// The calendar's time now.
var wallTime: WallTime {
    WallTime(nanosecondsSince1970: vta_clock_nanoseconds(CLOCK_REALTIME))
}

/// The process's environment, read once. Of a variable given twice the first counts, as for getenv.
let processEnvironment: [String: String] = {
    var variables: [String: String] = [:]
    var next = unsafe environ
    // SAFETY: environ is an array of NUL-terminated strings that ends with a null pointer; nothing here changes it.
    while let entry = unsafe next.pointee {
        let text = unsafe String(cString: entry)
        if let equals = text.firstIndex(of: "=") {
            let name = String(text[..<equals])
            if variables[name] == nil { variables[name] = String(text[text.index(after: equals)...]) }
        }
        unsafe next += 1
    }
    return variables
}()
