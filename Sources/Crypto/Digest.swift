// Crypto: SHA-256 and HMAC-SHA-256, by OpenSSL. Both are total: they fail only where the process is out of memory.

internal import COpenSSL

package enum SHA256 {
    /// Bytes in a digest.
    package static let length = 32

    package static func digest(of bytes: [UInt8]) -> [UInt8] {
        unsafe bytes.withUnsafeBytes { bytes in unsafe digest(bytes) }
    }

    package static func digest(of text: String) -> [UInt8] {
        digest(of: Array(text.utf8))
    }

    package static func digest(of secret: Secret) -> [UInt8] {
        unsafe secret.withBytes { bytes in unsafe digest(bytes) }
    }

    /// HMAC (RFC 2104) of `message`. The result is a secret: SigV4 derives keys from it.
    package static func authenticationCode(of message: String, key: Secret) -> Secret {
        var message = message
        return message.withUTF8 { message in unsafe authenticationCode(UnsafeRawBufferPointer(message), key) }
    }

    package static func authenticationCode(of message: Secret, key: Secret) -> Secret {
        unsafe message.withBytes { message in unsafe authenticationCode(message, key) }
    }

    private static func authenticationCode(_ message: UnsafeRawBufferPointer, _ key: Secret) -> Secret {
        var code = [UInt8](repeating: 0, count: length)
        let made = unsafe key.withBytes { key in
            unsafe code.withUnsafeMutableBufferPointer { code in
                let messageBytes = unsafe message.assumingMemoryBound(to: UInt8.self)
                var written = 0
                // SAFETY: every pointer is lent for the call, with its own length, and OpenSSL keeps none of them.
                let result = unsafe EVP_Q_mac(
                    nil, "HMAC", nil, "SHA256", nil, key.baseAddress, key.count, messageBytes.baseAddress,
                    message.count, code.baseAddress, code.count, &written)
                return unsafe result != nil && written == length
            }
        }
        precondition(made, "HMAC-SHA-256 failed: OpenSSL is out of memory")
        return Secret(wiping: &code)
    }

    private static func digest(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: length) { digest, count in
            // SAFETY: OpenSSL reads `bytes.count` bytes and writes the 32 that are allocated.
            let result = unsafe EVP_Digest(bytes.baseAddress, bytes.count, digest.baseAddress, nil, EVP_sha256(), nil)
            precondition(result == 1, "SHA-256 failed: OpenSSL is out of memory")
            count = length
        }
    }
}

extension Sequence<UInt8> {
    /// Two lower-case digits a byte.
    package var hexadecimal: String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        text.reserveCapacity(2 * underestimatedCount)
        for byte in self {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}

extension Secret {
    /// Two lower-case digits a byte: for a code that is to be shown, such as a signature.
    package var hexadecimal: String {
        unsafe withBytes { bytes in unsafe bytes.hexadecimal }
    }
}
