// Fuzzing: gives libFuzzer the reader that FUZZ_TARGET names. All other arguments are libFuzzer's.

import CLibFuzzer
import Glibc

private let wanted = unsafe getenv("FUZZ_TARGET").map { unsafe String(cString: $0) } ?? ""

guard let target = FuzzTarget.all.first(where: { $0.name == wanted }) else {
    print(FuzzTarget.all.map(\.name).joined(separator: "\n"))
    exit(wanted.isEmpty ? 0 : 64)
}
private let body = target.body

private var count = CommandLine.argc
private var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = unsafe CommandLine.unsafeArgv
let status = unsafe LLVMFuzzerRunDriver(&count, &arguments) { bytes, count in
    // SAFETY: libFuzzer lends so many bytes for the call.
    unsafe body(Array(UnsafeBufferPointer(start: bytes, count: count)))
    return 0
}
exit(status)
