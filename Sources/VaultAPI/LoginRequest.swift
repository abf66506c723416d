// VaultAPI: a login's request body. It holds the proof, an AWS session token among it, so it is made in bytes that are wiped.

package import Crypto
internal import HTTPClient
internal import SecretJSON

extension LoginProof {
    /// The JSON that `POST <mount>/login` wants.
    func body(role: String?) -> Secret {
        var writer = JSONObjectWriter(capacity: 4_096)
        if let role { writer.add("role", role) }
        switch self {
        case .iam(let method, let url, let headers, let body):
            writer.add("iam_http_request_method", method.rawValue)
            writer.add("iam_request_url", base64: url)
            writer.add("iam_request_body", base64: body)
            writer.add("iam_request_headers", base64: Self.json(of: headers))
        case .ec2PKCS7(let pkcs7, let nonce):
            writer.add("pkcs7", pkcs7)
            writer.add("nonce", nonce)
        case .ec2Identity(let document, let signature, let nonce):
            writer.add("identity", base64: document)
            writer.add("signature", signature)
            writer.add("nonce", nonce)
        }
        return writer.finish()
    }

    /// The login's parameters by their names, as `vault write MOUNT/login` takes them. All but the method are secrets.
    package func parameters(role: String?) -> [(name: String, value: Secret)] {
        let names = [
            "role", "iam_http_request_method", "iam_request_url", "iam_request_body", "iam_request_headers", "pkcs7",
            "identity", "signature", "nonce",
        ]
        guard let json = try? JSONValue(reading: body(role: role)) else { return [] }
        return names.compactMap { name in (json[name]?.string?.secret).map { (name, $0) } }
    }

    /// What must not be repeated when Vault's answer is quoted: it, or STS through it, may repeat what it was sent.
    var secrets: [Secret] {
        switch self {
        case .iam(_, _, let headers, _):
            headers.compactMap { header in
                if case .secret(let secret) = header.value { secret } else { nil }
            }
        case .ec2PKCS7(_, let nonce), .ec2Identity(_, _, let nonce): [nonce]
        }
    }

    private static func json(of headers: [HTTPHeader]) -> Secret {
        var writer = JSONObjectWriter(capacity: 2_048)
        for header in headers {
            switch header.value {
            case .plain(let text): writer.add(header.name, text)
            case .secret(let secret): writer.add(header.name, secret)
            }
        }
        return writer.finish()
    }
}
