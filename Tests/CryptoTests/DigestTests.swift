// SHA-256 and HMAC-SHA-256 against the published vectors: FIPS 180-4's examples and RFC 4231.

import Crypto
import Testing

@Suite("SHA-256 and HMAC")
struct DigestTests {
    @Test(
        "SHA-256 gives the digests of FIPS 180-4",
        arguments: [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
        ])
    func digest(message: String, expected: String) {
        #expect(SHA256.digest(of: message).hexadecimal == expected)
        #expect(SHA256.digest(of: Array(message.utf8)).hexadecimal == expected)
        #expect(SHA256.digest(of: Secret(text: message)).hexadecimal == expected)
    }

    @Test("SHA-256 digests a million bytes")
    func longMessage() {
        let expected = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        #expect(SHA256.digest(of: [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000)).hexadecimal == expected)
    }

    @Test(
        "HMAC-SHA-256 gives the codes of RFC 4231",
        arguments: [
            (
                [UInt8](repeating: 0x0b, count: 20), "Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
            ),
            (
                Array("Jefe".utf8), "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
            ),
            (
                [UInt8](repeating: 0xaa, count: 131), "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
            ),
            ([], "", "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"),
        ])
    func authenticationCode(key: [UInt8], message: String, expected: String) {
        #expect(SHA256.authenticationCode(of: message, key: Secret(key)).hexadecimal == expected)
    }

    @Test("A code does not show itself when it is printed")
    func printing() {
        let code = SHA256.authenticationCode(of: "message", key: Secret(text: "key"))
        #expect("\(code)" == "(secret, 32 bytes)")
    }
}
