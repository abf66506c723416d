// Crypto: AES-256-GCM (NIST SP 800-38D), by OpenSSL.

internal import COpenSSL

package enum AES256GCM {
    package static let keyLength = 32
    package static let nonceLength = 12
    package static let tagLength = 16

    /// The ciphertext with its tag behind it. A nonce must never serve twice with one key.
    package static func seal(
        _ plaintext: Secret, key: Secret, nonce: [UInt8], additionalData: [UInt8]
    ) -> [UInt8] {
        precondition(key.count == keyLength && nonce.count == nonceLength, "AES-256-GCM takes 32 and 12 bytes")
        var sealed = [UInt8](repeating: 0, count: plaintext.count + tagLength)
        // SAFETY: `context` is freed once. OpenSSL reads the lengths it is told of buffers lent for the calls, writes
        // `plaintext.count` bytes of ciphertext, which GCM does not pad, and the tag into the 16 bytes behind them.
        let context = unsafe EVP_CIPHER_CTX_new()
        defer { unsafe EVP_CIPHER_CTX_free(context) }
        let made = unsafe plaintext.withBytes { plaintext in
            unsafe key.withBytes { key in
                unsafe sealed.withUnsafeMutableBufferPointer { sealed in
                    let keyBytes = unsafe key.assumingMemoryBound(to: UInt8.self)
                    let plainBytes = unsafe plaintext.assumingMemoryBound(to: UInt8.self)
                    let output = sealed.baseAddress
                    let tag = unsafe output?.advanced(by: plaintext.count)
                    var count: Int32 = 0
                    return unsafe EVP_EncryptInit_ex2(context, EVP_aes_256_gcm(), keyBytes.baseAddress, nonce, nil) == 1
                        && EVP_EncryptUpdate(context, nil, &count, additionalData, Int32(additionalData.count)) == 1
                        && EVP_EncryptUpdate(context, output, &count, plainBytes.baseAddress, Int32(plaintext.count))
                            == 1
                        && EVP_EncryptFinal_ex(context, tag, &count) == 1
                        && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, Int32(tagLength), tag) == 1
                }
            }
        }
        precondition(made, "AES-256-GCM failed: OpenSSL is out of memory")
        return sealed
    }
}
