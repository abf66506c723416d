// TokenSinks: reads a token back out of what a sink holds, so that a restart can take it over.

package import Crypto
internal import SecretJSON

extension TokenFormat {
    /// The token in a sink's content; nil where there is none to be found.
    package func token(in content: Secret) -> Secret? {
        switch self {
        case .token: content.firstLine(after: "")
        case .env: content.firstLine(after: "VAULT_TOKEN=")
        case .json: (try? JSONValue(reading: content))?["token"]?.string?.secret
        }
    }
}

extension Secret {
    /// What follows `prefix` up to the line's end, where the content begins with it and something follows.
    fileprivate func firstLine(after prefix: StaticString) -> Secret? {
        unsafe withBytes { bytes in
            let length = prefix.utf8CodeUnitCount
            let start = unsafe UnsafeBufferPointer(start: prefix.utf8Start, count: length)
            guard unsafe bytes.prefix(length).elementsEqual(start) else { return nil }
            let line = unsafe bytes.dropFirst(length).prefix { $0 != UInt8(ascii: "\n") }
            return unsafe line.isEmpty ? nil : Secret(line)
        }
    }
}
