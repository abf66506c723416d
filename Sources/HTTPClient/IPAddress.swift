// HTTPClient: an IP address in numbers.

private import Glibc

struct IPAddress: Hashable {
    /// 4 or 16, in the network's order.
    let bytes: [UInt8]

    /// Nil for anything else, names and addresses with a zone among it.
    init?(_ text: some StringProtocol) {
        for (family, length) in [(AF_INET, 4), (AF_INET6, 16)] {
            var bytes = [UInt8](repeating: 0, count: length)
            // SAFETY: `bytes` has the length of the family's addresses.
            if unsafe inet_pton(family, String(text), &bytes) == 1 {
                self.bytes = bytes
                return
            }
        }
        return nil
    }

    var isIPv6: Bool { bytes.count == 16 }

    /// 127.0.0.0/8 or ::1.
    var isLoopback: Bool {
        isIPv6 ? bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1 : bytes[0] == 127
    }

    /// Whether both are of one family and agree in the first `bits` bits.
    func isIn(_ network: IPAddress, bits: Int) -> Bool {
        guard network.bytes.count == bytes.count, (0...8 * bytes.count).contains(bits) else { return false }
        return zip(bytes, network.bytes).enumerated().allSatisfy { index, pair in
            let mask = UInt8(truncatingIfNeeded: 0xFF00 >> min(8, max(0, bits - 8 * index)))
            return pair.0 & mask == pair.1 & mask
        }
    }
}
