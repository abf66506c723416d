// AWSIdentity: AWS Signature Version 4. Pure: credentials, time and request in, signed headers out.
// Source: AWS General Reference, "Signature Version 4 signing process"; checked against botocore's signer in the tests.

internal import Crypto
internal import HTTPClient
internal import Timekeeping

/// A request to sign. The URL's path and query are signed as they stand, its path once more encoded, as every service
/// but S3 expects.
struct UnsignedRequest {
    var method: HTTPMethod
    var url: WebAddress
    /// All of them are signed. `Host`, `X-Amz-Date`, `X-Amz-Security-Token` and `Authorization` are the signer's.
    var headers: [HTTPHeader]
    var body: Secret
}

/// Signs for one service in one region.
struct SignatureV4 {
    let region: String
    let service: String

    private static let algorithm = "AWS4-HMAC-SHA256"

    /// The headers to send: those of the request, then date, session token and signature. `Host` is signed and is not
    /// among them: who sends the request derives it from the URL.
    func sign(_ request: UnsignedRequest, with credentials: AWSCredentials, at time: WallTime) -> [HTTPHeader] {
        let date = time.amzDate
        let day = String(date.prefix(8))
        var headers = request.headers
        headers.append(HTTPHeader("X-Amz-Date", date))
        if let token = credentials.sessionToken {
            headers.append(HTTPHeader("X-Amz-Security-Token", secret: token))
        }
        let canonical = canonicalHeaders(headers + [HTTPHeader("Host", request.url.hostField)])
        let signedNames = canonical.map(\.name).joined(separator: ";")
        let canonicalRequest = [
            request.method.rawValue,
            canonicalPath(request.url.path),
            canonicalQuery(request.url.query ?? ""),
            canonical.map { "\($0.name):\($0.value)\n" }.joined(),
            signedNames,
            SHA256.digest(of: request.body).hexadecimal,
        ].joined(separator: "\n")
        let scope = "\(day)/\(region)/\(service)/aws4_request"
        let stringToSign = [
            Self.algorithm, date, scope, SHA256.digest(of: canonicalRequest).hexadecimal,
        ].joined(separator: "\n")
        let signature = SHA256.authenticationCode(
            of: stringToSign, key: signingKey(credentials.secretAccessKey, day: day))
        let authorization =
            "\(Self.algorithm) Credential=\(credentials.accessKeyID)/\(scope), SignedHeaders=\(signedNames), "
            + "Signature=\(signature.hexadecimal)"
        // Whoever holds a signed GetCallerIdentity can log in to Vault with it for 15 minutes.
        headers.append(HTTPHeader("Authorization", secret: Secret(text: authorization)))
        return headers
    }

    private func signingKey(_ secretAccessKey: Secret, day: String) -> Secret {
        var seed = Array("AWS4".utf8)
        seed.reserveCapacity(4 + secretAccessKey.count)
        unsafe secretAccessKey.withBytes { bytes in unsafe seed.append(contentsOf: bytes) }
        return [day, region, service, "aws4_request"].reduce(Secret(wiping: &seed)) { key, part in
            SHA256.authenticationCode(of: part, key: key)
        }
    }

    /// Names in lower case and in order; runs of white space made one space; values of one name joined by commas.
    private func canonicalHeaders(_ headers: [HTTPHeader]) -> [(name: String, value: String)] {
        var values: [String: [String]] = [:]
        for header in headers {
            let text =
                switch header.value {
                case .plain(let text): text
                case .secret(let secret): secret.text
                }
            // Space, and tab to carriage return.
            let words = text.utf8.split { $0 == 0x20 || 0x09...0x0D ~= $0 }
            let collapsed = words.map { Substring($0) }.joined(separator: " ")
            values[header.name.lowercased(), default: []].append(collapsed)
        }
        return values.sorted { $0.key < $1.key }.map { ($0.key, $0.value.joined(separator: ",")) }
    }

    /// Dot segments and empty segments removed, then every byte but the unreserved and the slash percent-encoded.
    private func canonicalPath(_ path: String) -> String {
        var segments: [Substring] = []
        for segment in path.split(separator: "/") where segment != "." {
            if segment == ".." { _ = segments.popLast() } else { segments.append(segment) }
        }
        let joined = "/" + segments.joined(separator: "/") + (path.hasSuffix("/") && !segments.isEmpty ? "/" : "")
        return percentEncoded(joined, keeping: "/")
    }

    /// The pairs in order of name, then value; not encoded again.
    private func canonicalQuery(_ query: String) -> String {
        if query.isEmpty { return "" }
        let pairs = query.split(separator: "&", omittingEmptySubsequences: false).map { pair in
            let name = pair.prefix { $0 != "=" }
            return (String(name), String(pair.dropFirst(name.count + 1)))
        }
        return pairs.sorted { $0 < $1 }.map { "\($0.0)=\($0.1)" }.joined(separator: "&")
    }
}
