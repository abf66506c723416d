// AWSIdentity: the XML that STS answers with, read by expat. Bounded; document types and with them all entities are refused.

private import CExpat
internal import Crypto

/// The texts of a document's leaves, by the path of element names below the root: "Error/Code". Of several elements at one
/// path the first counts. Namespaces are not looked at.
struct XMLReply {
    /// Why bytes are not a reply.
    struct Fault: Error, Hashable {
        let line: Int
        /// "mismatched tag".
        let complaint: String
    }

    /// Elements inside one another; STS's deepest reply has 4.
    static let depthLimit = 16
    /// Elements in all; STS's longest reply has about 15.
    static let countLimit = 500

    /// The root's name.
    let root: String
    private let texts: [String: Secret]

    init(_ bytes: Secret) throws(Fault) {
        let collector = Collector()
        guard let parser = unsafe XML_ParserCreate("UTF-8") else {
            throw Fault(line: 0, complaint: "no memory for a parser")
        }
        defer { unsafe XML_ParserFree(parser) }
        unsafe collector.listen(to: parser)
        let status = unsafe bytes.withBytes { bytes in
            // SAFETY: expat reads `bytes.count` bytes and keeps no pointer to them after the final call.
            unsafe XML_Parse(
                parser, bytes.bindMemory(to: CChar.self).baseAddress, Int32(clamping: bytes.count), 1)
        }
        let line = unsafe Int(XML_GetCurrentLineNumber(parser))
        if let refused = collector.refused { throw Fault(line: line, complaint: refused) }
        guard status == XML_STATUS_OK else {
            let text = unsafe XML_ErrorString(XML_GetErrorCode(parser))
            throw Fault(line: line, complaint: unsafe text.map { unsafe String(cString: $0) } ?? "not XML")
        }
        root = collector.root
        texts = collector.texts
    }

    func secret(_ path: String) -> Secret? { texts[path] }

    /// Trimmed; nil where there is none or it is empty.
    func text(_ path: String) -> String? {
        guard let text = texts[path]?.text.trimmed, !text.isEmpty else { return nil }
        return text
    }
}

/// What expat tells, element by element.
@safe private final class Collector {
    var root = ""
    var texts: [String: Secret] = [:]
    /// Why parsing was stopped.
    var refused: String?
    private var path: [String] = []
    private var count = 0
    private var text = SecretBuilder()
    /// No element has begun or ended since the current one began.
    private var isLeaf = false

    /// Has the parser tell this object. The object must outlive the parsing.
    func listen(to parser: XML_Parser) {
        // SAFETY: the parser is used only while `self` is held by `XMLReply.init`, and hands the pointer back to these
        // handlers alone. Names and texts are copied before the handlers return.
        unsafe XML_SetUserData(parser, Unmanaged.passUnretained(self).toOpaque())
        unsafe XML_SetElementHandler(
            parser,
            { context, name, _ in unsafe Collector.of(context)?.begin(name.map { unsafe String(cString: $0) } ?? "") },
            { context, _ in unsafe Collector.of(context)?.end() })
        unsafe XML_SetCharacterDataHandler(parser) { context, characters, count in
            guard let characters = unsafe characters else { return }
            let bytes = unsafe UnsafeRawBufferPointer(start: characters, count: Int(count))
            unsafe Collector.of(context)?.add(Secret(bytes))
        }
        unsafe XML_SetStartDoctypeDeclHandler(parser) { context, _, _, _, _ in
            unsafe Collector.of(context)?.refuse("a document type is not allowed")
        }
        unsafe self.parser = parser
    }

    private var parser: XML_Parser?

    private static func of(_ context: UnsafeMutableRawPointer?) -> Collector? {
        unsafe context.map { unsafe Unmanaged<Collector>.fromOpaque($0).takeUnretainedValue() }
    }

    private func begin(_ name: String) {
        count += 1
        if path.isEmpty, root.isEmpty { root = name } else { path.append(name) }
        if path.count >= XMLReply.depthLimit {
            refuse("more than \(XMLReply.depthLimit) elements inside one another")
        } else if count > XMLReply.countLimit {
            refuse("more than \(XMLReply.countLimit) elements")
        }
        text = SecretBuilder()
        isLeaf = true
    }

    private func add(_ piece: Secret) {
        if isLeaf { text.append(piece) }
    }

    private func end() {
        let place = path.joined(separator: "/")
        if isLeaf, !path.isEmpty, texts[place] == nil { texts[place] = text.secret() }
        isLeaf = false
        _ = path.popLast()
    }

    private func refuse(_ why: String) {
        guard refused == nil else { return }
        refused = why
        // SAFETY: called from a handler of this parser, as expat asks.
        unsafe XML_StopParser(parser, XML_Bool(XML_FALSE))
    }
}
