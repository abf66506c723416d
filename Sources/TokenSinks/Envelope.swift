// TokenSinks: encryption as Vault Agent does it, so that its readers can read this agent's files.

internal import Crypto
package import Diagnosis
internal import Glibc
internal import SecretJSON
private import Synchronization
internal import SystemCalls

/// Seals content for one reader, whose public key lies in a file.
///
/// The reader writes `{"curve25519_public_key": "<base64>"}`; a sink holds
/// `{"curve25519_public_key": "<base64>", "nonce": "<base64>", "encrypted_payload": "<base64>"}` with the writer's public
/// key. The key of AES-256-GCM is the X25519 secret of the two; with `derive_key` it is HKDF-SHA-256 of that secret, the
/// lesser of the two public keys as salt and the greater as info. The payload ends with GCM's tag; `aad` is authenticated.
final class Envelope: Sendable {
    let settings: EncryptionSettings
    /// The reader's public key of the latest ``seal(_:)``.
    private let sealedFor = Mutex<[UInt8]?>(nil)

    init(settings: EncryptionSettings) {
        self.settings = settings
    }

    /// Largest file of a public key that is read; it has about 75 bytes.
    private static let keyFileLimit = 4 << 10

    /// The envelope around `content`, with keys made for this once. The reader's key is read anew each time, so that it
    /// may change, and may come after the agent's start. Reads a file, which may wait for a disk.
    ///
    /// Throws `fileUnreadable` where there is no key: none yet, or one that its reader is still writing, or something else.
    func seal(_ content: Secret) throws(AgentError) -> Secret {
        let theirPublicKey = try readerKey()
        let privateKey = Secret.random(count: X25519.length)
        guard let publicKey = X25519.publicKey(of: privateKey) else {
            throw AgentError(
                .configurationInvalid, "OpenSSL offers no X25519, which an encrypted sink needs",
                remedy: "Have its configuration (OPENSSL_CONF, /etc/ssl/openssl.cnf) activate the default provider")
        }
        guard let shared = X25519.sharedSecret(privateKey: privateKey, publicKey: theirPublicKey) else {
            throw wrong("holds a key that is of no use")
        }
        let inOrder = publicKey.lexicographicallyPrecedes(theirPublicKey)
        let key =
            settings.deriveKey
            ? HKDF.sha256(
                secret: shared, salt: inOrder ? publicKey : theirPublicKey, info: inOrder ? theirPublicKey : publicKey)
            : shared
        let nonce = unsafe Secret.random(count: AES256GCM.nonceLength).withBytes { unsafe Array($0) }
        let payload = AES256GCM.seal(
            content, key: key, nonce: nonce, additionalData: Array(settings.additionalData.utf8))
        var object = JSONObjectWriter(capacity: 2 * payload.count + 256)
        object.add("curve25519_public_key", base64: Secret(publicKey))
        object.add("nonce", base64: Secret(nonce))
        object.add("encrypted_payload", base64: Secret(payload))
        sealedFor.withLock { $0 = theirPublicKey }
        return object.finish()
    }

    /// What is wrong with what was sealed last; nil where nothing is, and while its reader has no new key. Reads a file, which
    /// may wait for a disk.
    func inspect() -> SinkDisturbance? {
        guard let former = sealedFor.withLock(\.self), let key = try? readerKey(), key != former else { return nil }
        return SinkDisturbance(
            kind: .readerKey, observed: "\(settings.publicKeyPath) holds another key than the one that it is sealed for"
        )
    }

    /// Throws as ``seal(_:)`` does.
    func readerKey() throws(AgentError) -> [UInt8] {
        let text: Secret?
        do throws(SystemFault) {
            text = try readWhole(settings.publicKeyPath, limit: Self.keyFileLimit)
        } catch {
            throw AgentError(
                .fileUnreadable, error.observed,
                remedy: "dh_path names the file into which the reader of the sink puts its public key")
        }
        guard let text else { throw wrong("is larger than \(Self.keyFileLimit) bytes") }
        guard let document = try? JSONValue(reading: text) else { throw wrong("is not JSON") }
        guard let encoded = document["curve25519_public_key"]?.string else {
            throw wrong("has no string named curve25519_public_key")
        }
        guard let key = [UInt8](base64: encoded.text), key.count == X25519.length else {
            throw wrong("holds a key that is not base64 of \(X25519.length) bytes")
        }
        return key
    }

    private func wrong(_ complaint: String) -> AgentError {
        AgentError(
            .fileUnreadable, "\(settings.publicKeyPath) \(complaint)",
            remedy: "Expected {\"curve25519_public_key\": \"<base64 of 32 bytes>\"}")
    }
}

extension EncryptionSettings {
    /// Throws `fileUnreadable` where there is no key of the reader's.
    package func checkKey() throws(AgentError) {
        _ = try Envelope(settings: self).readerKey()
    }
}

/// A file's content; nil where it is larger than `limit`.
func readWhole(_ path: String, limit: Int) throws(SystemFault) -> Secret? {
    let file = try Descriptor(unsafe open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), "open", path)
    var builder = SecretBuilder(capacity: 512)
    var buffer = [UInt8](repeating: 0, count: 4_096)
    while builder.count <= limit {
        let count = unsafe buffer.withUnsafeMutableBytes { bytes in
            // SAFETY: the kernel writes at most the bytes that the buffer has.
            retryingOnSignal { unsafe read(file.number, bytes.baseAddress, bytes.count) }
        }
        guard count >= 0 else { throw SystemFault("read", path) }
        if count == 0 { return builder.secret() }
        builder.append(buffer[..<count])
    }
    return nil
}
