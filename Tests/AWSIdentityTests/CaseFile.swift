// The cases under Cases/, as values. What a case may say is described in Cases/README.md.

import AWSIdentity
import Crypto
import Diagnosis
import Glibc
import HTTPClient
import SecretJSON
import TestSupport
import Testing
import Timekeeping

/// One folder.
struct CaseFile {
    /// A case that does not say what it must: its own fault, not the agent's.
    struct Malformed: Error, CustomStringConvertible {
        let description: String
    }

    let name: String
    let json: JSONValue
    /// A copy of the folder, which a test may change; goes when this value does.
    let directory: TemporaryDirectory

    static let root = "\(Reference.directory)/Cases"

    static var names: [String] {
        get throws { entries(of: root).filter { !$0.contains(".") }.sorted() }
    }

    init(_ name: String) throws {
        self.name = name
        directory = try TemporaryDirectory(copying: "\(Self.root)/\(name)")
        json = try JSONValue(
            reading: Secret(try LocalFiles().read("\(Self.root)/\(name)/case.json", limit: 1 << 20).bytes))
        for (file, mode) in json["modes"]?.object ?? [:] {
            let bits = try #require(mode.string.flatMap { mode_t($0.text, radix: 8) })
            _ = unsafe chmod("\(directory.path)/\(file)", bits)
        }
    }

    var settings: AWSSettings {
        get throws {
            var settings = AWSSettings()
            for (key, value) in json["settings"]?.object ?? [:] {
                switch key {
                case "source": settings.source = try #require(CredentialSource(rawValue: value.string?.text ?? ""))
                case "profile": settings.profile = value.string?.text
                case "imds_v1": settings.allowIMDSv1 = value.boolean == true
                case "region", "sts_endpoint", "header_value": break
                default: throw Malformed(description: "\(name) has the unknown setting \(key)")
                }
            }
            return settings
        }
    }

    /// For whose ears the case signs.
    var audience: LoginAudience {
        LoginAudience(
            region: json["settings"]?["region"]?.string?.text,
            endpoint: json["settings"]?["sts_endpoint"]?.string?.text,
            serverID: json["settings"]?["header_value"]?.string?.text)
    }

    /// The two shared files are those of the folder unless the case says otherwise.
    var environment: [String: String] {
        var environment = [
            "AWS_CONFIG_FILE": "${case}/config", "AWS_SHARED_CREDENTIALS_FILE": "${case}/credentials",
            "HOME": "${case}", "PATH": "/usr/bin:/bin",
        ]
        for (variable, value) in json["environment"]?.object ?? [:] {
            environment[variable] = value.string?.text
        }
        return environment.mapValues { filled($0) }
    }

    /// The text with the place of the folder's copy put in.
    func filled(_ text: String) -> String {
        text.split(separator: "${case}", omittingEmptySubsequences: false).joined(separator: directory.path)
    }

    var time: WallTime {
        get throws { try #require(WallTime(rfc3339: json["time"]?.string?.text ?? "2026-11-21T09:00:00Z")) }
    }

    var steps: [JSONValue] { json["steps"]?.array ?? [] }

    // MARK: The wire

    func exchanges(of step: JSONValue) throws -> [ScriptedTransport.Exchange] {
        try (step["exchanges"]?.array ?? []).map { exchange in
            let request = try #require(exchange["request"], "\(name): an exchange without request")
            let reply = try #require(exchange["reply"], "\(name): an exchange without reply")
            return ScriptedTransport.Exchange(request: try transcript(request), reply: try self.reply(reply))
        }
    }

    func transcript(_ request: JSONValue) throws -> String {
        var lines = ["\(try text(request, "method")) \(try text(request, "url"))"]
        if let proxy = request["proxy"]?.string { lines.append("by proxy \(proxy.text)") }
        if let file = request["trusting"]?.string { lines.append("trusting \(filled(file.text))") }
        lines += (request["headers"]?.object ?? [:]).map { "\($0.lowercased()): \($1.string?.text ?? "")" }.sorted()
        return (lines + ["", request["body"]?.string?.text ?? ""]).joined(separator: "\n")
    }

    private func reply(_ reply: JSONValue) throws -> Result<HTTPReply, HTTPFailure> {
        if let failure = reply["failure"]?.string?.text {
            let kinds: [String: HTTPFailure.Kind] = [
                "refused": .connectionRefused, "no_route": .noRoute, "connect_timeout": .connectTimedOut,
                "reply_timeout": .replyTimedOut, "lost": .connectionLost, "certificate": .certificateRefused,
                "name": .nameNotResolved, "proxy": .proxyFailed, "too_long": .replyTooLong,
            ]
            return .failure(HTTPFailure(try #require(kinds[failure]), "scripted: \(failure)", maybeSent: true))
        }
        return .success(
            HTTPReply(
                status: Int(try #require(reply["status"]?.integer)),
                headers: (reply["headers"]?.object ?? [:]).map { ($0.lowercased(), $1.string?.text ?? "") },
                body: try reply["body"]?.string?.secret ?? Secret(bytes(reply["body_hex"])),
                sentAt: Instant(nanoseconds: 0)))
    }

    private func bytes(_ hexadecimal: JSONValue?) throws -> [UInt8] {
        let digits = Array(hexadecimal?.string?.text ?? "")
        return try stride(from: 0, to: digits.count, by: 2).map { start in
            try #require(UInt8(String(digits[start...].prefix(2)), radix: 16), "\(name) has no digits in body_hex")
        }
    }

    func text(_ value: JSONValue, _ key: String) throws -> String {
        guard let text = value[key]?.string?.text else { throw Malformed(description: "\(name) says no \(key)") }
        return filled(text)
    }
}

extension TemporaryDirectory {
    convenience init(copying source: String) throws {
        self.init()
        for name in entries(of: source) {
            write(try LocalFiles().read("\(source)/\(name)", limit: 4 << 20).bytes, to: name)
        }
    }
}
