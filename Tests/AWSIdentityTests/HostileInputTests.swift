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
    private static let url = "https://sts.eu-west-1.amazonaws.com:443/path/x?a=b&c=d"

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

    @Test("3,000 broken URLs and command lines: what is taken is taken apart whole")
    func urls() throws {
        var taken = 0
        for bytes in variants(of: Self.url, count: 3_000, seed: 4) {
            let text = String(decoding: bytes, as: UTF8.self)
            _ = try? CommandWords.split(text)
            guard let url = EndpointURL(text) else { continue }
            taken += 1
            // Written out and read again it is the same.
            let again = try #require(EndpointURL(url.text), "\(text)")
            #expect(again.host == url.host && again.query == url.query && again.hostHeader == url.hostHeader, "\(text)")
        }
        #expect(taken > 100 && taken < 3_000)
    }
}

@Suite("Endpoint URLs")
struct EndpointURLTests {
    @Test(
        "Are taken apart",
        arguments: [
            ("https://sts.amazonaws.com", "sts.amazonaws.com", "https://sts.amazonaws.com/"),
            ("HTTP://Host:80/a?b=c", "host", "http://host/a?b=c"),
            ("https://host:8443", "host:8443", "https://host:8443/"),
            ("http://[FD00:ec2::254]/x/", "[fd00:ec2::254]", "http://[fd00:ec2::254]/x/"),
            ("http://[::1]:1338?q", "[::1]:1338", "http://[::1]:1338/?q"),
        ])
    func parts(text: String, host: String, whole: String) throws {
        let url = try #require(EndpointURL(text))
        #expect(url.hostHeader == host)
        #expect(url.text == whole)
    }

    @Test(
        "What two readers could read differently is refused",
        arguments: [
            "", "sts.amazonaws.com", "ftp://host/", "https://", "https:///path", "https://user@host/",
            "https://user:pw@host/",
            "https://host:0/", "https://host:65536/", "https://host:+1/", "https://host:/", "https://host:1:2/",
            "https://ho st/", "https://host\\@other/", "https://host/a b", "https://host/#fragment", "https://host/\n",
            "https://[::1/", "https://[nothex::]/", "https://[1]/", "https://höst/", "https://host%2eexample/",
        ])
    func refused(text: String) {
        #expect(EndpointURL(text) == nil)
    }
}
