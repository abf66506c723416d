// Crypto: a secret in the making. It grows without leaving copies of itself behind in freed memory.

internal import COpenSSL

/// Puts a ``Secret`` together from pieces, as a request body that holds a token is.
@safe package struct SecretBuilder: ~Copyable {
    private var storage: UnsafeMutableRawBufferPointer
    package private(set) var count = 0

    /// Room for `capacity` bytes to begin with; grows as needed.
    package init(capacity: Int = 256) {
        unsafe storage = .allocate(byteCount: max(16, capacity), alignment: 16)
    }

    deinit {
        // SAFETY: `storage` is this value's own allocation and nothing borrows it any more.
        unsafe OPENSSL_cleanse(storage.baseAddress, storage.count)
        unsafe storage.deallocate()
    }

    package mutating func append(_ byte: UInt8) {
        makeRoom(for: 1)
        unsafe storage[count] = byte
        count += 1
    }

    package mutating func append(_ text: String) {
        for byte in text.utf8 { append(byte) }
    }

    package mutating func append(_ bytes: some Sequence<UInt8>) {
        for byte in bytes { append(byte) }
    }

    package mutating func append(_ secret: Secret) {
        makeRoom(for: secret.count)
        unsafe secret.withBytes { bytes in
            // SAFETY: `makeRoom` left at least `bytes.count` bytes from `count` on.
            unsafe UnsafeMutableRawBufferPointer(rebasing: storage[count...]).copyMemory(from: bytes)
        }
        count += secret.count
    }

    /// Base64 (RFC 4648, padded, one line).
    package mutating func appendBase64(of secret: Secret) {
        unsafe secret.withBytes { bytes in unsafe appendBase64(of: bytes) }
    }

    package mutating func appendBase64(of text: String) {
        var text = text
        text.withUTF8 { bytes in unsafe appendBase64(of: UnsafeRawBufferPointer(bytes)) }
    }

    package mutating func appendBase64(of bytes: [UInt8]) {
        unsafe bytes.withUnsafeBytes { bytes in unsafe appendBase64(of: bytes) }
    }

    private mutating func appendBase64(of bytes: UnsafeRawBufferPointer) {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        makeRoom(for: (bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let present = min(3, bytes.count - start)
            var group: UInt32 = 0
            for index in 0..<3 {
                unsafe group = group << 8 | (index < present ? UInt32(bytes[start + index]) : 0)
            }
            for digit in 0..<4 {
                append(digit <= present ? alphabet[Int(group >> UInt32(18 - 6 * digit) & 63)] : UInt8(ascii: "="))
            }
        }
    }

    /// What was put together so far, as a secret of its own.
    package borrowing func secret() -> Secret {
        // SAFETY: the first `count` bytes were written, and `Secret` copies them before the call returns.
        unsafe Secret(UnsafeRawBufferPointer(rebasing: storage[..<count]))
    }

    private mutating func makeRoom(for more: Int) {
        guard unsafe count + more > storage.count else { return }
        let old = unsafe storage
        unsafe storage = .allocate(byteCount: max(2 * old.count, count + more), alignment: 16)
        // SAFETY: the new buffer is larger than the `count` bytes copied; the old one is wiped before it is freed.
        unsafe storage.copyMemory(from: UnsafeRawBufferPointer(rebasing: old[..<count]))
        unsafe OPENSSL_cleanse(old.baseAddress, old.count)
        unsafe old.deallocate()
    }
}
