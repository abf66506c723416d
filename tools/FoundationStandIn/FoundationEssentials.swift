// In place of FoundationEssentials in release builds, where nothing but swift-argument-parser asks for it. It uses these
// few names, for errors that describe themselves and for a dump of the command line in JSON that no user sees; the real
// module would bring 7 MB for them. `--experimental-dump-help` prints an empty line here.

public protocol LocalizedError: Error {
    var errorDescription: String? { get }
}

extension LocalizedError {
    public var errorDescription: String? { nil }
}

public struct Data {}

public final class JSONEncoder {
    public struct OutputFormatting: OptionSet {
        public let rawValue: Int
        public init(rawValue: Int) { self.rawValue = rawValue }
        public static let prettyPrinted = OutputFormatting(rawValue: 1)
        public static let sortedKeys = OutputFormatting(rawValue: 2)
    }

    public struct NotIncluded: Error {}

    public var outputFormatting: OutputFormatting = []

    public init() {}

    public func encode(_ value: some Encodable) throws -> Data { throw NotIncluded() }
}

extension String {
    public enum Encoding { case utf8 }

    public init?(data: Data, encoding: Encoding) { return nil }
}
