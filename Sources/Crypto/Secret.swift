// Crypto: bytes that must not linger. Wiped on release, never printed, compared in constant time.

internal import COpenSSL

/// The one owner of a run of secret bytes. Not copyable; wiped when it ends.
@safe private struct WipedBuffer: ~Copyable {
    private let bytes: UnsafeMutableRawBufferPointer

    init(count: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void) {
        unsafe bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        unsafe fill(bytes)
    }

    var count: Int { unsafe bytes.count }

    borrowing func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try unsafe body(UnsafeRawBufferPointer(bytes))
    }

    deinit {
        // SAFETY: `bytes` is this value's own allocation and nothing borrows it any more.
        unsafe OPENSSL_cleanse(bytes.baseAddress, bytes.count)
        unsafe bytes.deallocate()
    }
}

/// A secret: a token, a key, a request or reply body that holds one. Shared by reference, so that the bytes stand in
/// memory once and are wiped when the last holder lets go.
///
/// Text made from it (``text``) is an ordinary `String` and is not wiped: make it late and let it go early.
package final class Secret: Sendable {
    // SAFETY: written only in init, read-only from then on.
    private nonisolated(unsafe) let buffer: WipedBuffer

    package init(_ bytes: some Collection<UInt8>) {
        unsafe buffer = WipedBuffer(count: bytes.count) { target in
            unsafe target.copyBytes(from: bytes)
        }
    }

    /// Takes over the bytes of an array and wipes the array.
    package init(wiping bytes: inout [UInt8]) {
        unsafe buffer = WipedBuffer(count: bytes.count) { target in
            unsafe target.copyBytes(from: bytes)
        }
        unsafe bytes.withUnsafeMutableBytes { source in
            unsafe OPENSSL_cleanse(source.baseAddress, source.count)
        }
        bytes.removeAll()
    }

    package convenience init(text: String) {
        self.init(text.utf8)
    }

    package var count: Int { unsafe buffer.count }

    package var isEmpty: Bool { count == 0 }

    /// Lends the bytes for the duration of `body`.
    package func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try unsafe buffer.withBytes(body)
    }

    /// The bytes as UTF-8 text, broken sequences replaced. The string is a copy that is not wiped.
    package var text: String {
        unsafe withBytes { bytes in unsafe String(decoding: bytes, as: UTF8.self) }
    }
}

extension Secret: Equatable {
    /// In constant time for secrets of the same length.
    package static func == (left: Secret, right: Secret) -> Bool {
        guard left.count == right.count else { return false }
        return unsafe left.withBytes { first in
            unsafe right.withBytes { second in
                // SAFETY: both buffers hold `left.count` bytes for the duration of the call.
                unsafe CRYPTO_memcmp(first.baseAddress, second.baseAddress, first.count) == 0
            }
        }
    }
}

extension Secret: CustomStringConvertible, CustomReflectable {
    /// Its length only.
    package var description: String { "(secret, \(count) bytes)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
