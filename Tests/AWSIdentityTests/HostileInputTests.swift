// Broken and hostile input, made from good input by chance: one clear error or a value, no crash, no hang, nothing shown.

import Crypto
import Diagnosis
import SecretJSON
import Testing

@testable import AWSIdentity

@Suite("Hostile input")
struct HostileInputTests {
    private static let file = """
        # comment
        [default]
        aws_access_key_id = AKIAEXAMPLE
        aws_secret_access_key = HUSHsecret
        s3 =
          addressing_style = path

        [profile "two words"]
        role_arn = arn:aws:iam::123456789012:role/x
        source_profile = default
        """
    private static let json = """
        {"Code": "Success", "AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": "HUSHsecret", "Token": "HUSHtoken\\u00e9\\n",
         "Expiration": "2026-11-21T15:00:00Z", "more": [1, -2.5e3, true, null, {"deep": []}]}
        """
    private static let xml = """
        <?xml version="1.0"?>
        <AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
        <AccessKeyId>AKIAEXAMPLE</AccessKeyId><SecretAccessKey>HUSHsecret</SecretAccessKey>
        <SessionToken>HUSHtoken&amp;</SessionToken><Expiration>2026-11-21T15:00:00Z</Expiration>
        </Credentials></AssumeRoleResult></AssumeRoleResponse>
        """

    /// So many variants of `original`, each with one to eight edits: bytes changed, cut out, doubled, put in. The seed says
    /// which.
    private func variants(of original: String, count: Int, seed: UInt64) -> [[UInt8]] {
        let chance = Jitter(seed: seed)
        func below(_ bound: Int) -> Int { Int(chance.fraction() * Double(bound)) }
        let spice = Array("\u{0}\n\r\t\"'\\<>&;=:[]{}#%/@ \u{FF}".utf8) + [0xC3, 0xFF, 0xFE, 0x80]
        return (0..<count).map { _ in
            var bytes = Array(original.utf8)
            for _ in 0...below(8) where !bytes.isEmpty {
                let place = below(bytes.count)
                let length = min(1 + below(12), bytes.count - place)
                switch below(5) {
                case 0: bytes[place] = spice[below(spice.count)]
                case 1: bytes.removeSubrange(place..<place + length)
                case 2: bytes.insert(contentsOf: bytes[place..<place + length], at: place)
                case 3: bytes.insert(spice[below(spice.count)], at: place)
                default: bytes = Array(bytes[..<place])
                }
            }
            return bytes
        }
    }

    @Test("3,000 broken INI files")
    func files() throws {
        var refused = 0
        for bytes in variants(of: Self.file, count: 3_000, seed: 1) {
            do throws(AgentError) {
                _ = try INIDocument(bytes, path: "file")
            } catch {
                refused += 1
                #expect(error.observed.hasPrefix("file line ") && !error.remedy.isEmpty)
                #expect(!"\(error)".contains("HUSH"))
            }
        }
        #expect(refused > 500 && refused < 3_000)
    }

    @Test("3,000 broken JSON documents: whole credentials or one error")
    func documents() throws {
        var refused = 0
        for bytes in variants(of: Self.json, count: 3_000, seed: 2) {
            do throws(AgentError) {
                let json = try JSONValue(body: Secret(bytes), from: "the sender", failure: .awsMetadataUnavailable)
                let credentials = try CredentialDocument(
                    json, tokenField: "Token", required: true, sender: "the sender"
                )
                .credentials(origin: "the sender")
                #expect(!credentials.accessKeyID.isEmpty && !credentials.secretAccessKey.isEmpty)
                #expect(credentials.expiration != nil)
            } catch {
                refused += 1
                #expect(error.observed.contains("the sender"))
                #expect(!"\(error)".contains("HUSH"))
            }
        }
        #expect(refused > 500)
    }

    @Test("3,000 broken XML documents")
    func replies() throws {
        var refused = 0
        for bytes in variants(of: Self.xml, count: 3_000, seed: 3) {
            do {
                _ = try XMLReply(Secret(bytes))
            } catch {
                refused += 1
                #expect(error.line >= 1 && !error.complaint.contains("HUSH"))
            }
        }
        #expect(refused > 500 && refused < 3_000)
    }

    @Test("3,000 broken command lines")
    func commandLines() {
        for bytes in variants(of: "helper --profile 'two words' \"quoted\" \\\\x", count: 3_000, seed: 4) {
            _ = try? CommandWords.split(String(decoding: bytes, as: UTF8.self))
        }
    }
}
