// Crypto: two parties come to one key: X25519 (RFC 7748) and HKDF-SHA-256 (RFC 5869), by OpenSSL.

internal import COpenSSL

/// Diffie-Hellman on Curve25519.
package enum X25519 {
    /// Bytes in a key of either kind and in the shared secret.
    package static let length = 32

    /// The public key of any 32 random bytes; nil where OpenSSL's configuration leaves X25519 out, as FIPS does.
    package static func publicKey(of privateKey: Secret) -> [UInt8]? {
        guard let key = Key(privateKey: privateKey) else { return nil }
        return unsafe [UInt8](unsafeUninitializedCapacity: length) { bytes, count in
            count = length
            // SAFETY: OpenSSL writes at most the `length` bytes that are allocated.
            let result = unsafe EVP_PKEY_get_raw_public_key(key.pointer, bytes.baseAddress, &count)
            precondition(result == 1 && count == length, "X25519 failed: OpenSSL is out of memory")
        }
    }

    /// Nil for a public key that is not 32 bytes, or is one of the few with which anyone can know the secret.
    package static func sharedSecret(privateKey: Secret, publicKey: [UInt8]) -> Secret? {
        guard publicKey.count == length, let theirs = Key(publicKey: publicKey), let ours = Key(privateKey: privateKey)
        else { return nil }
        var bytes = [UInt8](repeating: 0, count: length)
        let made = unsafe bytes.withUnsafeMutableBufferPointer { bytes in
            // SAFETY: `context` is freed once; OpenSSL writes at most the `count` bytes that are allocated.
            let context = unsafe EVP_PKEY_CTX_new(ours.pointer, nil)
            defer { unsafe EVP_PKEY_CTX_free(context) }
            var count = bytes.count
            return unsafe EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_derive_set_peer(context, theirs.pointer) == 1
                && EVP_PKEY_derive(context, bytes.baseAddress, &count) == 1 && count == length
        }
        ERR_clear_error()
        let secret = Secret(wiping: &bytes)
        return made ? secret : nil
    }

    /// The owner of one OpenSSL key.
    @safe private struct Key: ~Copyable {
        let pointer: OpaquePointer

        init?(privateKey: Secret) {
            precondition(privateKey.count == length, "an X25519 key has 32 bytes")
            let made = unsafe privateKey.withBytes { bytes in
                // SAFETY: OpenSSL copies the 32 bytes before the call returns.
                unsafe EVP_PKEY_new_raw_private_key(
                    EVP_PKEY_X25519, nil, bytes.assumingMemoryBound(to: UInt8.self).baseAddress, bytes.count)
            }
            guard let made = unsafe made else { return nil }
            unsafe pointer = made
        }

        init?(publicKey: [UInt8]) {
            // SAFETY: as above.
            guard
                let made = unsafe EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nil, publicKey, publicKey.count)
            else { return nil }
            unsafe pointer = made
        }

        deinit {
            unsafe EVP_PKEY_free(pointer)
        }
    }
}

/// HKDF with SHA-256, as far as it is needed: one block of output.
package enum HKDF {
    /// A key of 32 bytes.
    package static func sha256(secret: Secret, salt: [UInt8], info: [UInt8]) -> Secret {
        let extracted = SHA256.authenticationCode(of: secret, key: Secret(salt))
        return SHA256.authenticationCode(of: Secret(info + [1]), key: extracted)
    }
}
