// HTTPClient: reading the PEM files that the settings name. Bounded; a file that cannot be used is named, with the reason.

private import COpenSSL
internal import Crypto
private import Glibc
private import SystemCalls

/// PEM files of one role, read whole.
enum PEMFiles {
    /// Bytes of one file, and of a directory's files together. Debian's whole set of CAs has 220 KB.
    private static let limit = 4 << 20
    /// Entries of a directory that are looked at. Debian's /etc/ssl/certs has 430.
    private static let entryLimit = 4_096

    static func read(_ role: String, _ path: String) throws(HTTPFailure) -> Secret {
        var content = SecretBuffer(limit: limit)
        if let problem = append(path, to: &content) { throw unusable(role, path, problem) }
        return content.secret()
    }

    /// The certificates to trust: the file's, those given as text, and the directory's. Nil where there are none of them.
    static func authorities(_ settings: TLSSettings) throws(HTTPFailure) -> Secret? {
        let (file, directory) = (settings.caFile, settings.caDirectory)
        if file == nil, directory == nil, settings.caCertificates == nil { return nil }
        var all = SecretBuffer(limit: limit)
        if let file {
            if let problem = append(file, to: &all) { throw unusable("CA file", file, problem) }
            guard all.holds("-----BEGIN ") else {
                throw unusable("CA file", file, "it holds no usable PEM certificate")
            }
        }
        if let text = settings.caCertificates, !all.append("\n") || !all.append(utf8: text) {
            throw unusable("CA text", "in the configuration", "it is longer than \(limit) bytes")
        }
        if let directory, let problem = append(certificatesIn: directory, to: &all) {
            throw unusable("CA directory", directory, problem)
        }
        return all.secret()
    }

    static func unusable(_ role: String, _ path: String, _ why: String) -> HTTPFailure {
        HTTPFailure(.tlsFailed, "the \(role) \(path) cannot be used: \(why)", maybeSent: false)
    }

    /// Takes the directory's files, whatever they are called: hashed by `openssl rehash` or not, a mounted ConfigMap's
    /// included. Files without a certificate, and those that cannot be read, are passed over. Nil, or what went wrong.
    private static func append(certificatesIn directory: String, to all: inout SecretBuffer) -> String? {
        let names: [String]
        do throws(SystemFault) {
            let listing = try Descriptor(unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", directory)
            names = try listing.names(limit: entryLimit, path: directory)
        } catch {
            return error.words
        }
        var seen: Set<FileIdentity> = []
        let before = all.count
        for name in names.sorted() {
            let path = "\(directory)/\(name)"
            // A hash link and the file it leads to are one.
            guard let identity = FileIdentity(ofRegularFile: path), seen.insert(identity).inserted else { continue }
            var content = SecretBuffer(limit: limit)
            guard append(path, to: &content) == nil, content.holds("-----BEGIN CERTIFICATE-----") else { continue }
            guard all.append("\n"), all.append(content) else { return "it holds more than \(limit) bytes" }
        }
        return all.count > before ? nil : "no file in it holds a PEM certificate"
    }

    /// Nil, or what went wrong.
    private static func append(_ path: String, to content: inout SecretBuffer) -> String? {
        // Non-blocking: a FIFO without a writer must not hold up the queue.
        let file: Descriptor
        do throws(SystemFault) {
            file = try Descriptor(unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), "open", path)
        } catch {
            return error.words
        }
        let number = file.number
        return unsafe withUnsafeTemporaryAllocation(byteCount: 16_384, alignment: 1) { part in
            defer { unsafe OPENSSL_cleanse(part.baseAddress, part.count) }
            while true {
                // SAFETY: the kernel writes at most as many bytes as `part` has.
                let count = unsafe Glibc.read(number, part.baseAddress, part.count)
                if count == 0 { return content.count > 0 ? nil : "it is empty" }
                if count < 0 { return errorText(errno) }
                guard unsafe content.append(UnsafeRawBufferPointer(rebasing: part[..<count])) else {
                    return "it is longer than \(limit) bytes"
                }
            }
        }
    }
}

private struct FileIdentity: Hashable {
    let device: UInt
    let inode: UInt

    init?(ofRegularFile path: String) {
        var status = stat()
        guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        (device, inode) = (status.st_dev, status.st_ino)
    }
}
