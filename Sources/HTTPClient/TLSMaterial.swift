// HTTPClient: what a connection's TLS needs from our files, read when a request starts.
//
// libcurl gets the files' content, not their names: it uses a connection again only for the same content, so a replaced
// file counts from the next request on. And what is wrong with a file is found here, where it can be named.

private import COpenSSL
internal import Crypto

struct TLSMaterial {
    /// PEM certificates to trust instead of the system's.
    let authorities: Secret?
    let client: ClientIdentity?

    /// For connections without TLS.
    init() {
        (authorities, client) = (nil, nil)
    }

    init(reading settings: TLSSettings) throws(HTTPFailure) {
        client = try ClientIdentity(reading: settings)
        authorities = try PEMFiles.authorities(settings)
    }
}

extension TLSSettings {
    /// Reads the files that it names as a request would. Throws which of them cannot be used, and why.
    package func checkFiles() throws(HTTPFailure) {
        _ = try TLSMaterial(reading: self)
    }
}

/// A client certificate and its key, checked to belong together.
struct ClientIdentity {
    /// PEM: the certificate and those that vouch for it.
    let certificates: Secret
    /// PEM, no longer encrypted, so that libcurl never gets (and never copies) the passphrase.
    let key: Secret

    /// Nil where none is configured.
    init?(reading settings: TLSSettings) throws(HTTPFailure) {
        guard let certificatePath = settings.clientCertificateFile else {
            guard let keyPath = settings.clientKeyFile else { return nil }
            throw PEMFiles.unusable("client key", keyPath, "no client certificate is configured for it")
        }
        // One file may hold both.
        let keyPath = settings.clientKeyFile ?? certificatePath
        certificates = try PEMFiles.read("client certificate", certificatePath)
        let passphrase = Passphrase(
            try settings.clientKeyPassphraseFile.map { path throws(HTTPFailure) in
                try PEMFiles.read("client key passphrase file", path)
            })
        // OpenSSL's errors are looked at here; libcurl must not find them in the queue.
        defer { ERR_clear_error() }
        guard let key = unsafe privateKey(try PEMFiles.read("client key", keyPath), passphrase) else {
            throw PEMFiles.unusable("client key", keyPath, passphrase.problem(file: settings.clientKeyPassphraseFile))
        }
        defer { unsafe EVP_PKEY_free(key) }
        guard let certificate = unsafe firstCertificate(certificates) else {
            throw PEMFiles.unusable("client certificate", certificatePath, "it does not begin with a PEM certificate")
        }
        defer { unsafe X509_free(certificate) }
        guard unsafe X509_check_private_key(certificate, key) == 1 else {
            throw PEMFiles.unusable("client key", keyPath, "it does not belong to the certificate \(certificatePath)")
        }
        guard let plain = unsafe pem(key) else {
            throw PEMFiles.unusable("client key", keyPath, "OpenSSL cannot write it as PKCS #8")
        }
        self.key = plain
    }
}

/// Answers OpenSSL when it meets an encrypted key, and remembers that it did.
private final class Passphrase {
    private let text: Secret?
    private var asked = false

    init(_ text: Secret?) {
        self.text = text
    }

    /// Bytes written; 0 makes OpenSSL give up.
    func answer(_ target: UnsafeMutableRawBufferPointer) -> Int32 {
        asked = true
        guard let text else { return 0 }
        return unsafe text.withBytes { bytes in
            let count = unsafe bytes.lastIndex { $0 != 10 && $0 != 13 }.map { $0 + 1 } ?? 0
            guard count <= target.count else { return 0 }
            unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            return Int32(count)
        }
    }

    func problem(file: String?) -> String {
        guard asked else { return "it holds no PEM private key" }
        guard let file else { return "it is encrypted, and no passphrase file is configured" }
        return "the passphrase in \(file) does not open it"
    }
}

/// The key, to be freed by the caller.
private func privateKey(_ pem: Secret, _ passphrase: Passphrase) -> OpaquePointer? {
    unsafe pem.withBytes { bytes in
        guard let source = unsafe BIO_new_mem_buf(bytes.baseAddress, Int32(bytes.count)) else { return nil }
        defer { unsafe BIO_free(source) }
        // SAFETY: `passphrase` lives through the call, in which alone it is used.
        return unsafe PEM_read_bio_PrivateKey(
            source, nil,
            { buffer, size, _, context in
                guard let buffer = unsafe buffer, let context = unsafe context else { return 0 }
                let passphrase = unsafe Unmanaged<Passphrase>.fromOpaque(context).takeUnretainedValue()
                return unsafe passphrase.answer(UnsafeMutableRawBufferPointer(start: buffer, count: Int(size)))
            }, Unmanaged.passUnretained(passphrase).toOpaque())
    }
}

/// The first certificate, to be freed by the caller.
private func firstCertificate(_ pem: Secret) -> OpaquePointer? {
    unsafe pem.withBytes { bytes in
        guard let source = unsafe BIO_new_mem_buf(bytes.baseAddress, Int32(bytes.count)) else { return nil }
        defer { unsafe BIO_free(source) }
        return unsafe PEM_read_bio_X509(source, nil, nil, nil)
    }
}

private func pem(_ key: OpaquePointer) -> Secret? {
    // OpenSSL wipes this memory when it frees it.
    guard let target = unsafe BIO_new(BIO_s_mem()) else { return nil }
    defer { unsafe BIO_free(target) }
    guard unsafe PEM_write_bio_PKCS8PrivateKey(target, key, nil, nil, 0, nil, nil) == 1 else { return nil }
    var content = SecretBuffer(limit: 1 << 20)
    let complete = unsafe withUnsafeTemporaryAllocation(byteCount: 4_096, alignment: 1) { part in
        defer { unsafe OPENSSL_cleanse(part.baseAddress, part.count) }
        while true {
            // SAFETY: OpenSSL writes at most as many bytes as `part` has.
            let count = unsafe BIO_read(target, part.baseAddress, Int32(part.count))
            guard count > 0 else { return true }
            guard unsafe content.append(UnsafeRawBufferPointer(rebasing: part[..<Int(count)])) else { return false }
        }
    }
    return complete ? content.secret() : nil
}
