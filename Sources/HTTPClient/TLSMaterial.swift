// HTTPClient: the PEM files that a connection's TLS needs, read when a request starts.
//
// libcurl gets their content, not their names: it then reuses a connection only for the same content, so a replaced file
// counts from the next request, and a file that cannot be used is named.

private import COpenSSL
internal import Crypto
private import Glibc

struct TLSMaterial {
    /// PEM certificates to trust instead of the system's.
    let authorities: Secret?
    /// The client's PEM chain.
    let certificate: Secret?
    /// The client's PEM key, not encrypted.
    let key: Secret?

    /// For connections without TLS.
    init() {
        (authorities, certificate, key) = (nil, nil, nil)
    }

    init(reading settings: TLSSettings) throws(HTTPFailure) {
        authorities = if let path = settings.caFile { try readFile(path, "CA file") } else { nil }
        certificate =
            if let path = settings.clientCertificateFile { try readFile(path, "client certificate") } else { nil }
        key = if let path = settings.clientKeyFile { try readFile(path, "client key") } else { nil }
    }
}

/// A PEM file; larger ones are refused. Debian's whole set of CAs has 220 KB.
private let fileLimit = 4 << 20

private func readFile(_ path: String, _ role: String) throws(HTTPFailure) -> Secret {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw unusable(role, path, errorText(errno)) }
    defer { close(descriptor) }
    var content = SecretBuffer(limit: fileLimit)
    var problem: String?
    while problem == nil {
        let more = unsafe withUnsafeTemporaryAllocation(byteCount: 4_096, alignment: 1) { part in
            // SAFETY: the kernel writes at most as many bytes as `part` has.
            let count = unsafe read(descriptor, part.baseAddress, part.count)
            if count < 0 { problem = errorText(errno) }
            guard count > 0 else { return false }
            if unsafe !content.append(UnsafeRawBufferPointer(rebasing: part[..<count])) {
                problem = "it is longer than \(fileLimit) bytes"
            }
            unsafe OPENSSL_cleanse(part.baseAddress, count)
            return true
        }
        if !more { break }
    }
    if let problem { throw unusable(role, path, problem) }
    return content.secret()
}

private func unusable(_ role: String, _ path: String, _ why: String) -> HTTPFailure {
    HTTPFailure(.tlsFailed, "the \(role) \(path) cannot be used: \(why)", maybeSent: false)
}

private func errorText(_ code: Int32) -> String {
    unsafe String(cString: strerror(code))
}
