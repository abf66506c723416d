// Crypto: what other programs say, without the secrets that may stand in it.

extension Secret {
    /// Fewer bytes of a secret in a row tell nobody anything, and are found in ordinary words.
    package static let shortestPart = 8

    /// The bytes, with "[secret]" wherever a part of one of `secrets` stands: eight or more of its bytes in a row, so that what
    /// was cut, or is spread over two outputs, is found too. Blanks, controls, line breaks and NUL between them do not count.
    package func blotted(of secrets: [Secret]) -> [UInt8] {
        var parts: Set<Int> = []
        for secret in secrets { unsafe secret.withBytes { unsafe collect($0, into: &parts) } }
        return unsafe withBytes { bytes in
            unsafe blot(bytes, hiding: placesOfParts(parts, in: bytes))
        }
    }
}

/// The last visible bytes of a text, as many as make a part.
private struct LastBytes {
    private var bytes: UInt64 = 0
    private var count = 0

    /// What they are known by, which tells nothing of them; nil while they are too few, and after what is not visible.
    mutating func take(_ byte: UInt8) -> Int? {
        guard 0x21...0x7E ~= byte else { return nil }
        bytes = bytes << 8 | UInt64(byte)
        count += 1
        guard count >= Secret.shortestPart else { return nil }
        var hasher = Hasher()
        hasher.combine(bytes)
        return hasher.finalize()
    }
}

private func collect(_ secret: UnsafeRawBufferPointer, into parts: inout Set<Int>) {
    var last = LastBytes()
    for index in secret.indices {
        if let part = last.take(unsafe secret[index]) { parts.insert(part) }
    }
}

/// Whether each byte belongs to a part.
private func placesOfParts(_ parts: Set<Int>, in text: UnsafeRawBufferPointer) -> [Bool] {
    var isHidden = [Bool](repeating: false, count: text.count)
    var visible: [Int] = []
    var last = LastBytes()
    for index in text.indices {
        let byte = unsafe text[index]
        guard 0x21...0x7E ~= byte else { continue }
        visible.append(index)
        guard let part = last.take(byte), parts.contains(part) else { continue }
        for place in visible[visible.count - Secret.shortestPart]...index { isHidden[place] = true }
    }
    return isHidden
}

private func blot(_ text: UnsafeRawBufferPointer, hiding isHidden: [Bool]) -> [UInt8] {
    var result: [UInt8] = []
    for index in text.indices {
        if !isHidden[index] {
            result.append(unsafe text[index])
        } else if index == 0 || !isHidden[index - 1] {
            result += "[secret]".utf8
        }
    }
    return result
}
