// HTTPClient: the head of a reply as it comes in, line by line: its status and its fields. Pure.

/// What the lines so far say. Of a reply with interim ones (1xx) the last head counts; trailers add to it.
struct ReplyHead {
    /// Bytes of all lines, interim replies and trailers included. Vault sends about 400, AWS about 600.
    static let limit = 64 << 10

    /// 0: no number.
    private(set) var status = 0
    /// Names in lower case.
    private(set) var fields: [(name: String, value: String)] = []
    /// Whether the empty line that ends the head has come.
    private(set) var isComplete = false
    private var bytesTaken = 0

    /// One line, whole, with its line end. False, and nothing taken, where the limit would be passed.
    mutating func take(line bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count <= Self.limit - bytesTaken else { return false }
        bytesTaken += bytes.count
        if unsafe bytes.starts(with: "HTTP/".utf8) {
            let words = unsafe fieldText(bytes[...]).split(separator: " ", maxSplits: 2)
            status = words.dropFirst().first.flatMap { Int($0) } ?? 0
            fields = []
            isComplete = false
        } else if unsafe bytes.allSatisfy(isBlank) {
            isComplete = true
        } else if let colon = unsafe bytes.firstIndex(of: UInt8(ascii: ":")) {
            unsafe fields.append((fieldText(bytes[..<colon]).lowercased(), fieldText(bytes[(colon + 1)...])))
        }
        return true
    }
}

/// The text without white space and line end around it.
private func fieldText(_ bytes: Slice<UnsafeRawBufferPointer>) -> String {
    let start = unsafe bytes.drop(while: isBlank)
    guard let end = unsafe start.lastIndex(where: { !isBlank($0) }) else { return "" }
    return unsafe String(decoding: start[...end], as: UTF8.self)
}

private func isBlank(_ byte: UInt8) -> Bool {
    byte <= UInt8(ascii: " ")
}
