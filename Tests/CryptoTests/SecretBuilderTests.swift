import Crypto
import Testing

@Suite("Secrets are put together")
struct SecretBuilderTests {
    @Test("pieces in order, through any growth")
    func pieces() {
        var builder = SecretBuilder(capacity: 1)
        var expected = ""
        for index in 0..<200 {
            builder.append("piece \(index);")
            builder.append(Secret(text: "secret"))
            builder.append([UInt8(ascii: "/")])
            expected += "piece \(index);secret/"
        }
        #expect(builder.count == expected.utf8.count)
        #expect(builder.secret() == Secret(text: expected))
        #expect(SecretBuilder().secret().isEmpty)
    }

    /// Test vectors of RFC 4648, section 10.
    @Test(
        "base64",
        arguments: [
            ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ])
    func base64(plain: String, encoded: String) {
        var builder = SecretBuilder()
        builder.appendBase64(of: plain)
        builder.appendBase64(of: Secret(text: plain))
        builder.appendBase64(of: Array(plain.utf8))
        #expect(builder.secret().text == encoded + encoded + encoded)
    }

    @Test("every byte value survives base64")
    func allBytes() {
        var builder = SecretBuilder()
        builder.appendBase64(of: [0x00, 0xFF, 0xFE, 0xFB, 0xF0])
        #expect(builder.secret().text == "AP/++/A=")
    }
}

@Suite("Random bytes")
struct RandomTests {
    @Test("as many as asked for, and never the same twice")
    func lengths() {
        for count in [1, 16, 32, 1_000] { #expect(Secret.random(count: count).count == count) }
        let drawn = (0..<100).map { _ in Secret.random(count: 16).hexadecimal }
        #expect(Set(drawn).count == 100)
    }
}
