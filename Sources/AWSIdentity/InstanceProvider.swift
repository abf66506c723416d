// AWSIdentity: what an EC2 instance knows of itself: its role's credentials, its region, the proof of its identity.

package import Crypto
internal import Diagnosis
internal import HTTPClient
internal import Logging
internal import SecretJSON
internal import Timekeeping

/// A proof of an instance's identity, as Vault's ec2 login takes it.
package enum InstanceProof: String, CaseIterable, Hashable, Sendable {
    /// PKCS#7, signed with RSA-2048.
    case rsa2048
    /// PKCS#7, signed with DSA; for the older regions.
    case pkcs7
    /// The document and its RSA signature.
    case identity
}

package enum InstanceIdentity: Sendable {
    /// Base64 on one line, without PEM armour.
    case pkcs7(Secret)
    /// The JSON document as it came, and its base64 signature on one line.
    case document(Secret, signature: Secret)
}

/// Reads from IMDS on behalf of the chain.
struct InstanceProvider {
    let surroundings: AWSSurroundings
    let memory: IdentityMemory
    let options: MetadataOptions

    private static let rolePath = "/latest/meta-data/iam/security-credentials/"

    func lookUp() async throws(AgentError) -> Lookup {
        do {
            return .found(try await credentials())
        } catch {
            switch error {
            case .absent(let why): return .absent(why)
            case .notFound: return .absent("the instance has no role: no instance profile is attached to it")
            case .failed(let error): throw error
            }
        }
    }

    private func credentials() async throws(MetadataFault) -> AWSCredentials {
        let role = try await roleName()
        let body: Secret
        do {
            body = try await memory.metadata.read(Self.rolePath + percentEncoded(role), options)
        } catch .notFound where options.roleName != nil {
            throw .failed(
                AgentError(
                    .awsCredentialsBroken, "the instance has no role \(printable(role)), which is named for it",
                    remedy: "Correct AWS_EC2_INSTANCE_PROFILE_NAME or ec2_instance_profile_name, or take it out"))
        }
        do throws(AgentError) {
            return try credentials(body, role: printable(role))
        } catch {
            throw .failed(error)
        }
    }

    private func roleName() async throws(MetadataFault) -> String {
        if let named = options.roleName { return named }
        let list = try await memory.metadata.read(Self.rolePath, options).text
        let role = list.prefix { !$0.isNewline }
        // The two names that a path has a meaning of its own for. All else stands in it percent-encoded.
        guard !role.isEmpty, role.count <= 128, role != ".", role != ".." else {
            throw .failed(AgentError(.awsMetadataUnavailable, "IMDS answered no role's name to GET \(Self.rolePath)"))
        }
        return String(role)
    }

    private func credentials(_ body: Secret, role: String) throws(AgentError) -> AWSCredentials {
        let sender = "IMDS (role \(role))"
        let json = try JSONValue(body: body, from: sender, failure: .awsMetadataUnavailable)
        if let code = json["Code"]?.string?.text, code != "Success" {
            let message = json["Message"]?.string?.text ?? ""
            throw AgentError(
                .awsMetadataUnavailable, "\(sender) has no credentials: \(printable(code)) \(printable(message))",
                remedy: "Check that the role exists and that ec2.amazonaws.com may assume it")
        }
        let document = try CredentialDocument(json, tokenField: "Token", required: true, sender: sender)
        return extended(
            try document.credentials(origin: "instance role \(role) (IMDS)", principal: Principal(name: .role(role))))
    }

    /// Static stability: when IMDS hands out credentials that have expired, AWS cannot renew them just now and honours
    /// them for longer. AWS asks its SDKs to go on using them and to ask again in 5 to 10 minutes.
    private func extended(_ credentials: AWSCredentials) -> AWSCredentials {
        guard let expiration = credentials.expiration, expiration <= surroundings.signingTime.now else {
            return credentials
        }
        return credentials.extended(surroundings: surroundings, jitter: memory.jitter)
    }

    func region() async throws(MetadataFault) -> String {
        try await memory.metadata.read("/latest/meta-data/placement/region", options).text
    }

    /// Twelve digits; nil where the instance does not say.
    func account() async throws(AgentError) -> String? {
        do {
            let document = try await memory.metadata.read("/latest/dynamic/instance-identity/document", options)
            return (try? JSONValue(reading: document))?["accountId"]?.string.flatMap {
                Principal(accountID: $0.text)?.account
            }
        } catch {
            if case .failed(let error) = error { throw error }
            return nil
        }
    }

    func identity(_ proof: InstanceProof) async throws(AgentError) -> InstanceIdentity {
        do {
            switch proof {
            case .rsa2048, .pkcs7: return .pkcs7(try await dynamic(proof.rawValue).onOneLine)
            case .identity:
                return .document(try await dynamic("document"), signature: try await dynamic("signature").onOneLine)
            }
        } catch {
            switch error {
            case .failed(let error): throw error
            case .absent(let why):
                throw AgentError(
                    .awsMetadataUnavailable, "no instance identity: \(why)",
                    remedy: "The ec2 login works on EC2 instances only; elsewhere use the iam login")
            case .notFound:
                throw AgentError(
                    .awsMetadataUnavailable, "IMDS has no instance identity of kind \(proof.rawValue)",
                    remedy: "Try another proof: rsa2048, pkcs7 or identity")
            }
        }
    }

    private func dynamic(_ name: String) async throws(MetadataFault) -> Secret {
        let path = "/latest/dynamic/instance-identity/\(name)"
        let proof = try await memory.metadata.read(path, options)
        do {
            return try proof.text(from: path)
        } catch {
            throw .failed(error)
        }
    }
}

extension AWSCredentials {
    /// The same credentials, held to be good for 10 to 15 minutes more: refreshed 5 minutes before, that is AWS's "again in
    /// 5 to 10 minutes".
    func extended(surroundings: AWSSurroundings, jitter: Jitter) -> AWSCredentials {
        let more = Duration.seconds(600) + .milliseconds(Int64(jitter.fraction() * 300_000))
        surroundings.log.warning(
            "AWS cannot renew this instance's credentials just now; going on with the expired ones, as AWS asks",
            metadata: ["origin": "\(origin)", "asking_again_in": "\((more - .seconds(300)).text)"])
        return AWSCredentials(
            accessKeyID: accessKeyID, secretAccessKey: secretAccessKey, sessionToken: sessionToken,
            expiration: surroundings.signingTime.now + more, origin: origin, principal: principal)
    }
}

extension Secret {
    /// The same, where it is text: Vault takes a proof within JSON.
    func text(from path: String) throws(AgentError) -> Secret {
        guard unsafe withBytes({ bytes in unsafe String(validating: bytes, as: UTF8.self) }) != nil else {
            throw AgentError(
                .awsMetadataUnavailable, "what IMDS gives at \(path) is not UTF-8",
                remedy: "Is it AWS's IMDS that answers there? Look with curl")
        }
        return self
    }

    /// The same without line breaks.
    var onOneLine: Secret {
        unsafe withBytes { bytes in unsafe Secret(bytes.filter { $0 != 0x0A && $0 != 0x0D }) }
    }
}
