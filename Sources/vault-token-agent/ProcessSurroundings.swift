// The command line: what the process was given: its environment, its outputs, the calendar.

private import CLinux
private import Glibc
internal import Timekeeping

/// Writes text to standard output, unbuffered, so that what a reader sees is what was written.
func output(_ text: String) {
    write(text, to: STDOUT_FILENO)
}

/// Writes one line for people to standard error.
func writeToStandardError(_ line: String) {
    write(line + "\n", to: STDERR_FILENO)
}

/// What cannot be written is lost: there is nowhere else to say it.
private func write(_ text: String, to descriptor: Int32) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
        // SAFETY: the kernel reads `count` bytes of a buffer that outlives the call.
        let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
        if count < 0 && errno != EINTR { return }
        rest = rest.dropFirst(max(0, count))
    }
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
