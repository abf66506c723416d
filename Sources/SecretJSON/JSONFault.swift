// SecretJSON: why bytes are not a JSON document, and where. Never what stood there.

/// Why bytes are not a JSON document.
package struct JSONFault: Error, Hashable, Sendable {
    package enum Cause: Hashable, Sendable {
        /// Something else stands there: "a comma or }".
        case expected(String)
        /// A number that begins with a zero and goes on.
        case leadingZero
        /// A string that begins there never ends.
        case endlessString
        /// A control character within a string, a line break among them.
        case controlInString
        /// A backslash before what JSON gives no meaning to.
        case unknownEscape
        /// Less than four hexadecimal digits after `\u`.
        case hexadecimal
        /// One escape of a pair that only together name a character.
        case halfSurrogate
        /// More than so many objects and lists inside one another.
        case depth(Int)
        /// More than so many values.
        case count(Int)
        case repeatedKey
    }

    /// Offset of the byte that does not fit, or of the first of what is meant.
    package let offset: Int
    package let cause: Cause

    package init(offset: Int, cause: Cause) {
        self.offset = offset
        self.cause = cause
    }

    /// "expected a comma or }".
    package var complaint: String {
        switch cause {
        case .expected(let what): "expected \(what)"
        case .leadingZero: "expected no number with a leading zero"
        case .endlessString: "a string that begins here never ends"
        case .controlInString: "expected no control character in a string"
        case .unknownEscape: "an escape that JSON does not have"
        case .hexadecimal: "expected four hexadecimal digits after \\u"
        case .halfSurrogate: "half of a surrogate pair"
        case .depth(let limit): "more than \(limit) objects and lists inside one another"
        case .count(let limit): "more than \(limit) values"
        case .repeatedKey: "a key stands twice"
        }
    }
}
