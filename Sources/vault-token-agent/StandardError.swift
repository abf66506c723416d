// The command line: text for people on standard error, and the environment that the process was given.

private import Glibc

/// Writes one line. What cannot be written is lost: there is nowhere else to say it.
func writeToStandardError(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    // SAFETY: the kernel reads `bytes.count` bytes of an array that outlives the call.
    _ = unsafe write(STDERR_FILENO, bytes, bytes.count)
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
