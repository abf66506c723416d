// HTTPClient: what a certificate says, in words for a message.

internal import COpenSSL
private import Glibc
package import Timekeeping

/// A peer's certificate, as far as a reader needs it. All text comes from the peer and is made harmless.
package struct CertificateFacts: Hashable, Sendable {
    /// The names it is for: of its subjectAltName; without that, its subject.
    package let names: String
    package let issuer: String
    package let notBefore: WallTime?
    package let notAfter: WallTime?

    private static let namesShown = 6

    /// Reads a certificate that the caller keeps alive.
    @unsafe init(_ certificate: OpaquePointer) {
        let alternatives = unsafe subjectAlternatives(certificate)
        if alternatives.isEmpty {
            unsafe names = nameText(X509_get_subject_name(certificate))
        } else {
            let more = alternatives.count - Self.namesShown
            names =
                alternatives.prefix(Self.namesShown).joined(separator: ", ") + (more > 0 ? " and \(more) more" : "")
        }
        unsafe issuer = nameText(X509_get_issuer_name(certificate))
        unsafe notBefore = time(X509_get0_notBefore(certificate))
        unsafe notAfter = time(X509_get0_notAfter(certificate))
    }
}

/// DNS names and addresses of the subjectAltName extension.
private func subjectAlternatives(_ certificate: OpaquePointer) -> [String] {
    guard let decoded = unsafe X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) else { return [] }
    let stack = OpaquePointer(decoded)
    // SAFETY: the decoded stack is ours to free, with its elements.
    defer { unsafe GENERAL_NAMES_free(stack) }
    var names: [String] = []
    let count = unsafe min(OPENSSL_sk_num(stack), 1_000)
    for index in 0..<max(0, count) {
        guard let element = unsafe OPENSSL_sk_value(stack, index) else { continue }
        let name = unsafe element.assumingMemoryBound(to: GENERAL_NAME.self).pointee
        switch unsafe name.type {
        case GEN_DNS:
            unsafe names.append(bytes(of: name.d.dNSName).harmlessText)
        case GEN_IPADD:
            unsafe names.append(addressText(bytes(of: name.d.iPAddress)))
        default: break
        }
    }
    return names
}

private func bytes(of string: UnsafePointer<ASN1_STRING>?) -> [UInt8] {
    guard let string = unsafe string, let start = unsafe ASN1_STRING_get0_data(string) else { return [] }
    // SAFETY: OpenSSL says where the string's bytes are and how many.
    return unsafe Array(UnsafeBufferPointer(start: start, count: Int(ASN1_STRING_length(string))))
}

private func addressText(_ address: [UInt8]) -> String {
    guard address.count == 4 || address.count == 16 else { return "(invalid address)" }
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { text in
        // SAFETY: `address` has the family's length, `text` room for the longest address.
        unsafe inet_ntop(
            address.count == 4 ? AF_INET : AF_INET6, address, text.baseAddress, socklen_t(text.count)
        ).map { unsafe String(cString: $0) } ?? ""
    }
}

/// A distinguished name in RFC 2253's order, most special part first.
private func nameText(_ name: OpaquePointer?) -> String {
    guard let memory = unsafe BIO_new(BIO_s_mem()) else { return "" }
    defer { unsafe BIO_free(memory) }
    guard let name = unsafe name, unsafe vta_x509_name_print(memory, name) >= 0 else {
        return ""
    }
    var text = [UInt8](repeating: 0, count: 512)
    let count = unsafe BIO_read(memory, &text, Int32(text.count))
    return Array(text.prefix(Int(max(0, count)))).harmlessText
}

private func time(_ time: UnsafePointer<ASN1_TIME>?) -> WallTime? {
    var parts = unsafe tm()
    guard unsafe ASN1_TIME_to_tm(time, &parts) == 1 else { return nil }
    return unsafe WallTime(secondsSince1970: Int64(timegm(&parts)))
}

extension [UInt8] {
    /// Printable ASCII only, and not much of it: the peer chose these bytes.
    fileprivate var harmlessText: String {
        String(decoding: prefix(120).map { (0x20...0x7E).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
    }
}
