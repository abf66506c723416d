// Configuration: what strings of the file must look like. Each rule says what it expects, checks, and tidies.

private import AWSIdentity
internal import Diagnosis
private import Glibc
internal import HTTPClient
private import HTTPServer

/// What is wrong with one string.
struct TextComplaint: Error, Equatable {
    /// "has no scheme"; follows the quoted string in the message.
    let observed: String
    var remedy = ""
}

/// What paths may be relative to.
struct PathContext {
    /// systemd's `$CREDENTIALS_DIRECTORY`, for files given by `LoadCredential=`.
    var credentialsDirectory: String?
    /// Where relative paths of flags and variables begin; nil: relative paths are refused.
    var workingDirectory: String?
}

enum TextRule: Sendable {
    /// Any text without control characters, 1 to 1,024 characters.
    case plain
    case tokenName
    case address
    case namespace
    case mountPath
    case headerValue
    case region
    case endpoint
    /// Whose AWS credentials: an account, an ARN with wildcards.
    case identity
    /// A proxy's URL, which may hold a login.
    case proxy
    /// A host, an address or a block of addresses.
    case hostPattern
    /// Certificates in PEM.
    case certificates
    /// A file or directory that the agent reads.
    case readPath
    /// A file or directory that the agent writes.
    case writePath
    /// A user or group.
    case principal
    case variableName
    case signal
    case listenAddress
    case policy

    var expectation: String {
        switch self {
        case .plain: "a string"
        case .tokenName: "a name of 1 to 64 letters, digits, dots, hyphens and underscores"
        case .address: "a URL such as \"https://vault.example.com:8200\""
        case .namespace: "a namespace such as \"team/app\", or \"\""
        case .mountPath: "a path such as \"auth/aws\""
        case .headerValue: "a string of printable ASCII"
        case .region: "a region such as \"eu-central-1\""
        case .identity: "an account's 12 digits, or an ARN such as \"arn:aws:iam::123456789012:role/app\""
        case .endpoint: "a URL such as \"https://sts.eu-central-1.amazonaws.com\""
        case .proxy: "a URL such as \"http://proxy.example.com:3128\""
        case .hostPattern: "a host such as \"vault-2.example.net\", an address, or a block such as \"10.0.0.0/8\""
        case .certificates: "certificates in PEM"
        case .readPath: "an absolute path, or one that begins with $CREDENTIALS_DIRECTORY/"
        case .writePath: "an absolute path"
        case .principal: "a name, or a number in quotes"
        case .variableName: "the name of an environment variable"
        case .signal: "one of " + SignalName.known.map { quoted($0) }.joined(separator: ", ")
        case .listenAddress: "\"127.0.0.1:PORT\", \"[::1]:PORT\" or \"unix:///PATH\""
        case .policy: "the name of a policy"
        }
    }

    /// A text that does not keep the rule, for a message.
    func shown(_ text: String) -> String {
        switch self {
        case .address, .endpoint, .proxy: "\"\(printable(url: text, limit: 63))\""
        case .certificates: "the text of \(text.utf8.count) bytes"
        default: quoted(text)
        }
    }

    /// A text that keeps the rule, for those who look at the configuration.
    func display(_ text: String) -> String {
        switch self {
        case .proxy: printable(url: text, limit: 1_024)
        case .certificates: "(\(text.utf8.count) bytes)"
        default: text
        }
    }

    /// The text as the agent will use it.
    func tidy(_ text: String, _ context: PathContext) throws(TextComplaint) -> String {
        if case .certificates = self { return try Self.certificates(text) }
        guard text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F }) else {
            throw TextComplaint(observed: "holds a control character")
        }
        if case .namespace = self {
        } else if text.isEmpty {
            throw TextComplaint(observed: "is empty", remedy: "Leave the key out to have its default")
        }
        guard text.utf8.count <= 4_095 else { throw TextComplaint(observed: "is longer than 4,095 bytes") }
        switch self {
        case .plain, .endpoint, .address, .headerValue, .readPath, .writePath, .listenAddress: break
        default:
            guard text.utf8.count <= 1_024 else { throw TextComplaint(observed: "is longer than 1,024 bytes") }
        }
        switch self {
        case .plain: return text
        case .tokenName: return try Self.tokenName(text)
        case .address: return try Self.address(text)
        case .namespace: return try Self.slashed(text, "namespace")
        case .mountPath: return try Self.mountPath(text)
        case .headerValue:
            guard text.utf8.allSatisfy({ $0 < 0x7F }), text.first != " ", text.last != " " else {
                throw TextComplaint(observed: "cannot be sent as an HTTP header")
            }
            return text
        case .region:
            guard Self.consists(text, of: "-", upperCase: false), text.utf8.count <= 64 else {
                throw TextComplaint(observed: "is not the name of a region")
            }
            return text
        case .identity:
            guard IdentityPattern(text) != nil else {
                throw TextComplaint(
                    observed: "is neither an account nor the ARN of a user or role",
                    remedy: "An assumed role may be written as its role; * and ? stand for other characters")
            }
            return text
        case .endpoint: return try Self.url(text, schemes: ["https", "http"])
        case .proxy:
            guard proxyName(text) != nil else { throw TextComplaint(observed: "is not a proxy's URL") }
            return text
        case .hostPattern:
            guard isHostPattern(text) else { throw TextComplaint(observed: "names no hosts") }
            return text
        case .certificates: return text
        case .readPath: return try Self.readPath(text, context)
        case .writePath: return try Self.absolute(text)
        case .principal:
            guard Self.consists(text, of: "._-$@", upperCase: true), text.first != "-" else {
                throw TextComplaint(observed: "is not the name of a user or group")
            }
            return text
        case .variableName:
            guard Self.consists(text, of: "_", upperCase: true), text.first?.isNumber == false else {
                throw TextComplaint(observed: "is not the name of an environment variable")
            }
            return text
        case .signal:
            guard let number = SignalName.number(of: text) else {
                throw TextComplaint(observed: "is not a signal that the agent sends")
            }
            return SignalName.all.first { $0.number == number }?.name ?? text
        case .listenAddress: return try Self.listenAddress(text)
        case .policy:
            guard text != "root" else {
                throw TextComplaint(observed: "is not a policy that the agent asks for")
            }
            return text
        }
    }

    /// Whether `text` holds only ASCII letters (small ones only, unless `upperCase`), digits and `others`.
    private static func consists(_ text: String, of others: String, upperCase: Bool) -> Bool {
        text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): upperCase
            default: others.utf8.contains(byte)
            }
        }
    }

    private static func tokenName(_ text: String) throws(TextComplaint) -> String {
        guard consists(text, of: "._-", upperCase: true), text.utf8.count <= 64, text != ".", text != ".." else {
            throw TextComplaint(observed: "is not a usable name")
        }
        return text
    }

    /// Segments between slashes, without the slashes at the ends.
    private static func slashed(_ text: String, _ what: String) throws(TextComplaint) -> String {
        let segments = text.split(separator: "/", omittingEmptySubsequences: true)
        for segment in segments where segment == ".." || segment == "." || segment.contains(where: "?#% ".contains) {
            throw TextComplaint(observed: "is not a \(what): \(quoted(String(segment))) cannot be part of one")
        }
        return segments.joined(separator: "/")
    }

    private static func mountPath(_ text: String) throws(TextComplaint) -> String {
        let path = try slashed(text, "mount path")
        let segments = path.split(separator: "/")
        if segments.first == "v1" {
            throw TextComplaint(
                observed: "begins with v1/", remedy: "Write \(quoted(segments.dropFirst().joined(separator: "/")))")
        }
        if segments.last == "login" {
            throw TextComplaint(
                observed: "ends with /login",
                remedy: "Write \(quoted(segments.dropLast().joined(separator: "/"))): the agent adds login itself")
        }
        guard segments.first == "auth", segments.count > 1 else {
            throw TextComplaint(
                observed: "does not begin with auth/",
                remedy: "Write \(quoted("auth/" + (path == "auth" ? "aws" : path)))")
        }
        return path
    }

    private static func certificates(_ text: String) throws(TextComplaint) -> String {
        guard text.utf8.count <= 1 << 20 else { throw TextComplaint(observed: "is longer than 1 MiB") }
        guard text.holds("-----BEGIN CERTIFICATE-----"), text.holds("-----END CERTIFICATE-----") else {
            throw TextComplaint(
                observed: "holds no certificate", remedy: "A file is named by ca_cert, or by VAULT_CACERT")
        }
        return text
    }

    // MARK: URLs

    /// What follows `prefix`; nil where the text does not begin with it.
    private static func rest(of text: String, after prefix: String) -> String? {
        text.hasPrefix(prefix) ? String(text.dropFirst(prefix.count)) : nil
    }

    private static func address(_ text: String) throws(TextComplaint) -> String {
        guard let path = rest(of: text, after: "unix://") else {
            return try url(text, schemes: ["https", "http", "unix"])
        }
        guard path.hasPrefix("/") else {
            throw TextComplaint(
                observed: "has no absolute path", remedy: "Write it with three slashes: \"unix:///run/vault.sock\"")
        }
        return "unix://" + (try socketPath(path))
    }

    /// A base URL, without a slash at its end.
    private static func url(_ text: String, schemes: [String]) throws(TextComplaint) -> String {
        let url: WebAddress
        do {
            url = try WebAddress(text)
        } catch {
            throw complaint(error, text, schemes)
        }
        guard url.query == nil else {
            throw TextComplaint(observed: "holds a query", remedy: "Give the base URL only")
        }
        var path = url.path[...]
        while path.last == "/" { path = path.dropLast() }
        if path.hasSuffix("/v1") {
            throw TextComplaint(observed: "ends with /v1", remedy: "Leave that out: the agent adds it")
        }
        // As it was written, the port too: so that logs and commands name it as the configuration does.
        let authority = text.dropFirst(url.scheme.rawValue.utf8.count + 3).prefix { $0 != "/" }
        return "\(url.scheme.rawValue)://\(authority)\(path)"
    }

    private static func complaint(_ fault: WebAddressFault, _ text: String, _ schemes: [String]) -> TextComplaint {
        let remedy =
            switch fault {
            case .noScheme: "Write \"\(printable(url: "https://" + text, limit: 63))\""
            case .otherScheme: "Use \(schemes.joined(separator: " or "))"
            case .character: "Write an international name in its xn-- form"
            case .fragment: "Give the base URL only"
            case .userInformation: "Take out everything up to the @"
            case .host: "A host is a name, an IPv4 address, or an IPv6 address in brackets"
            case .port(bareIPv6: true): "Put an IPv6 address in brackets: \"https://[::1]:8200\""
            case .port(bareIPv6: false): "A port is a number from 1 to 65535"
            case .tooLong, .noHost: ""
            }
        if case .otherScheme(let scheme) = fault {
            return TextComplaint(observed: "has the scheme \(quoted(scheme))", remedy: remedy)
        }
        return TextComplaint(observed: fault.description, remedy: remedy)
    }

    private static func listenAddress(_ text: String) throws(TextComplaint) -> String {
        if let path = rest(of: text, after: "unix://") {
            return "unix://" + (try socketPath(path))
        }
        let host = text.lastIndex(of: ":").map { text[..<$0] } ?? ""
        guard host == "localhost" || (try? ListenAddress("\(host):1")) != nil else {
            throw TextComplaint(
                observed: "is not an address in figures with a port, nor a socket",
                remedy: "\"0.0.0.0:PORT\" is open to whoever reaches this machine")
        }
        guard let port = UInt16(text.dropFirst(host.count + 1)), port > 0 else {
            throw TextComplaint(observed: "has no usable port", remedy: "A port is a number from 1 to 65535")
        }
        return (host == "localhost" ? "127.0.0.1" : host) + ":\(port)"
    }

    // MARK: Paths

    private static func absolute(_ text: String) throws(TextComplaint) -> String {
        guard text.hasPrefix("/") else {
            throw TextComplaint(observed: "is not an absolute path")
        }
        let segments = text.split(separator: "/", omittingEmptySubsequences: true)
        guard !segments.contains("."), !segments.contains("..") else {
            throw TextComplaint(observed: "goes by . or ..", remedy: "Write the path that is meant")
        }
        guard !segments.isEmpty else { throw TextComplaint(observed: "is the root directory") }
        return "/" + segments.joined(separator: "/")
    }

    /// `sun_path` holds 108 bytes with the closing NUL.
    private static func socketPath(_ text: String) throws(TextComplaint) -> String {
        let path = try absolute(text)
        guard path.utf8.count <= 107 else {
            throw TextComplaint(observed: "names a socket by more than 107 bytes", remedy: "Use a shorter path")
        }
        return path
    }

    private static func readPath(_ text: String, _ context: PathContext) throws(TextComplaint) -> String {
        for prefix in ["$CREDENTIALS_DIRECTORY/", "${CREDENTIALS_DIRECTORY}/"] where text.hasPrefix(prefix) {
            guard let directory = context.credentialsDirectory, directory.hasPrefix("/") else {
                throw TextComplaint(
                    observed: "needs CREDENTIALS_DIRECTORY, which is not set",
                    remedy: "systemd sets it for a unit that has LoadCredential=")
            }
            return try absolute(directory + "/" + text.dropFirst(prefix.count))
        }
        if let directory = context.workingDirectory, !text.hasPrefix("/"), !text.hasPrefix("$") {
            return directory + "/" + text
        }
        return try absolute(text)
    }
}
