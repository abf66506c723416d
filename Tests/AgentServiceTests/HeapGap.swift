// Test support: what a burst leaves behind on the heap.

import Glibc

/// Some megabytes of the heap that nothing uses any more, below a block in use: the heap cannot shrink by itself.
final class HeapGap: Sendable {
    private static let blockSize = 1 << 10
    private let last: UInt
    /// Addresses of those that the blocks began in.
    private let pages: Set<UInt>

    init() {
        let blocks = (0..<16_384).map { _ in unsafe UInt(bitPattern: malloc(Self.blockSize)) }
        let pageSize = UInt(getpagesize())
        pages = Set(blocks.map { $0 / pageSize * pageSize })
        last = blocks[blocks.count - 1]
        for block in blocks.dropLast() { unsafe free(UnsafeMutableRawPointer(bitPattern: block)) }
    }

    deinit {
        // SAFETY: this block alone was not freed.
        unsafe free(UnsafeMutableRawPointer(bitPattern: last))
    }

    /// Whether it has memory: more than half of its pages do.
    var isKept: Bool {
        let resident = pages.count { page in
            var state: UInt8 = 0
            // SAFETY: mincore writes one byte for the one page, and says where there is none.
            return unsafe mincore(UnsafeMutableRawPointer(bitPattern: page), 1, &state) == 0 && state & 1 != 0
        }
        return resident > pages.count / 2
    }
}
