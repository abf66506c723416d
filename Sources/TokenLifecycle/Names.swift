// TokenLifecycle: numbers that stand for what the runtime holds: tokens, sinks, lines of tokens, requests.

/// Stands for one token, or one wrapping token. The runtime keeps the secret under this number; the core never sees it.
/// A higher number is a newer token.
package struct TokenID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let number: UInt64

    package init(number: UInt64) {
        self.number = number
    }

    package static func < (left: TokenID, right: TokenID) -> Bool { left.number < right.number }

    package var description: String { "#\(number)" }
}

/// Names a sink for as long as its settings stay the same.
package struct SinkID: Hashable, Sendable, CustomStringConvertible {
    package let number: UInt64

    package init(number: UInt64) {
        self.number = number
    }

    package var description: String { "sink \(number)" }
}

/// Names a line of tokens, one after the other in the same sinks: that of the login, or one of children of its tokens.
package struct LineID: Hashable, Sendable {
    package let number: UInt64

    package init(number: UInt64) {
        self.number = number
    }

    /// The tokens that come from logins.
    package static let login = LineID(number: 0)
}

/// Names one request, so that an answer that comes late finds no ear.
package struct RequestID: Hashable, Sendable, CustomStringConvertible {
    package let number: UInt64

    package init(number: UInt64) {
        self.number = number
    }

    package var description: String { "request \(number)" }
}
