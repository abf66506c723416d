// Crypto: random bytes that nobody can guess, from OpenSSL's generator, which the kernel seeds.

internal import COpenSSL

extension Secret {
    /// So many unguessable bytes; at least 1.
    package static func random(count: Int) -> Secret {
        var bytes = [UInt8](repeating: 0, count: count)
        let made = unsafe bytes.withUnsafeMutableBufferPointer { bytes in
            // SAFETY: OpenSSL writes the `count` bytes that are allocated.
            unsafe RAND_bytes(bytes.baseAddress, Int32(bytes.count)) == 1
        }
        precondition(made, "OpenSSL's random generator has no seed: the kernel gives no randomness")
        return Secret(wiping: &bytes)
    }
}
