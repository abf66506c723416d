// Key agreement and encryption against the vectors of their standards.

import Testing

@testable import Crypto

private func bytes(_ hexadecimal: String) -> [UInt8] {
    let digits = Array(hexadecimal)
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(String(digits[$0...$0 + 1]), radix: 16) ?? 0 }
}

@Suite("Key agreement and encryption")
struct EncryptionTests {
    @Test("X25519 gives both sides of RFC 7748, 6.1 their public keys and the one secret")
    func agreement() {
        let alice = Secret(bytes("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
        let bob = Secret(bytes("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
        let alicePublic = bytes("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
        let bobPublic = bytes("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
        let shared = Secret(bytes("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"))
        #expect(X25519.publicKey(of: alice) == alicePublic)
        #expect(X25519.publicKey(of: bob) == bobPublic)
        #expect(X25519.sharedSecret(privateKey: alice, publicKey: bobPublic) == shared)
        #expect(X25519.sharedSecret(privateKey: bob, publicKey: alicePublic) == shared)
    }

    @Test(
        "X25519 refuses public keys with which anyone would know the secret, and those of a wrong length",
        arguments: [
            [UInt8](repeating: 0, count: 32),
            [1] + [UInt8](repeating: 0, count: 31),
            bytes("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
            bytes("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e"), [],
        ])
    func refusesWeakKeys(publicKey: [UInt8]) {
        #expect(X25519.sharedSecret(privateKey: .random(count: 32), publicKey: publicKey) == nil)
    }

    @Test("HKDF-SHA-256 gives the first 32 bytes of RFC 5869, A.1")
    func derivation() {
        let key = HKDF.sha256(
            secret: Secret([UInt8](repeating: 0x0b, count: 22)), salt: bytes("000102030405060708090a0b0c"),
            info: bytes("f0f1f2f3f4f5f6f7f8f9"))
        #expect(key == Secret(bytes("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf")))
    }

    @Test("AES-256-GCM gives ciphertext and tag of test cases 14 and 16 of the GCM specification")
    func encryption() {
        let zero = Secret([UInt8](repeating: 0, count: 32))
        #expect(
            AES256GCM.seal(
                Secret([UInt8](repeating: 0, count: 16)), key: zero, nonce: .init(repeating: 0, count: 12),
                additionalData: [])
                == bytes("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"))
        let plaintext =
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
            + "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
        let sealed =
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
            + "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"
        #expect(
            AES256GCM.seal(
                Secret(bytes(plaintext)),
                key: Secret(bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")),
                nonce: bytes("cafebabefacedbaddecaf888"),
                additionalData: bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2")) == bytes(sealed))
    }

    @Test(
        "Base64 reads RFC 4648's examples",
        arguments: ["": "", "Zg==": "f", "Zm8=": "fo", "Zm9v": "foo", "Zm9vYg==": "foob", "Zm9vYmFy": "foobar"])
    func base64(text: String, expected: String) {
        #expect([UInt8](base64: text) == Array(expected.utf8))
    }

    @Test(
        "Base64 refuses what is not exactly it",
        arguments: ["Zg", "Zg=", "Zh==", "Zm9=", "Zm9v\n", "====", "Z===", "Zm9v====", "Zm-_"])
    func notBase64(text: String) {
        #expect([UInt8](base64: text) == nil)
    }
}
