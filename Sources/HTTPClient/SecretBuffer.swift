// HTTPClient: where a reply's body, or a key file's content, collects. Whatever it leaves behind is wiped.

private import COpenSSL
internal import Crypto
private import Diagnosis

/// Bytes that grow to a limit. Wiped when they move and when they end.
@safe struct SecretBuffer: ~Copyable {
    private var storage: UnsafeMutableRawBufferPointer
    private(set) var count = 0
    private let limit: Int

    init(limit: Int) {
        self.limit = limit
        unsafe storage = .allocate(byteCount: min(limit, 4_096), alignment: 16)
    }

    /// False, and nothing taken, where the limit would be passed.
    mutating func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count <= limit - count else { return false }
        let needed = count + bytes.count
        if unsafe needed > storage.count { grow(toHold: needed) }
        // SAFETY: the room behind `count` holds the new bytes, as just made sure.
        unsafe UnsafeMutableRawBufferPointer(rebasing: storage[count..<needed]).copyMemory(from: bytes)
        count = needed
        return true
    }

    mutating func append(_ other: borrowing SecretBuffer) -> Bool {
        unsafe append(UnsafeRawBufferPointer(rebasing: other.storage[..<other.count]))
    }

    mutating func append(_ text: StaticString) -> Bool {
        unsafe append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func append(utf8 text: String) -> Bool {
        var text = text
        return text.withUTF8 { bytes in unsafe append(UnsafeRawBufferPointer(bytes)) }
    }

    func holds(_ text: String) -> Bool {
        // SAFETY: the bytes stay in place while they are looked through.
        unsafe storage.assumingMemoryBound(to: UInt8.self).span.extracting(first: count)
            .firstOffset(of: text.utf8.span) != nil
    }

    /// The bytes so far, as a secret of its own.
    func secret() -> Secret {
        unsafe Secret(UnsafeRawBufferPointer(rebasing: storage[..<count]))
    }

    private mutating func grow(toHold needed: Int) {
        let capacity = unsafe min(limit, max(needed, 2 * storage.count))
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
        // SAFETY: `larger` holds at least as much as `storage`, which is let go of only here and in deinit.
        unsafe larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: storage[..<count]))
        unsafe OPENSSL_cleanse(storage.baseAddress, storage.count)
        unsafe storage.deallocate()
        unsafe storage = larger
    }

    deinit {
        unsafe OPENSSL_cleanse(storage.baseAddress, storage.count)
        unsafe storage.deallocate()
    }
}
