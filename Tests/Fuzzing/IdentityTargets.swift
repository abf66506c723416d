// Fuzzing: what AWS, its files and its helpers say.

import ChildProcess
import Crypto
import Diagnosis
import SecretJSON
import Timekeeping

@testable import AWSIdentity

let identityTargets = [
    FuzzTarget("ini") { bytes in
        do throws(AgentError) {
            let document = try INIDocument(bytes, path: "config")
            insist(document.sections.count <= bytes.count, "more sections than bytes")
        } catch {
            insist(error)
        }
    },
    FuzzTarget("metadata") { bytes in
        for (tokenField, required) in [("Token", true), ("SessionToken", false)] {
            do throws(AgentError) {
                let json = try JSONValue(body: Secret(bytes), from: "IMDS", failure: .awsMetadataUnavailable)
                let document = try CredentialDocument(
                    json, tokenField: tokenField, required: required, sender: "IMDS")
                _ = try document.credentials(origin: "IMDS")
            } catch {
                insist(error)
            }
        }
    },
    FuzzTarget("sts") { bytes in
        let context = STSRefusal.Context(action: "AssumeRole", host: "sts.amazonaws.com", signer: nil)
        do throws(XMLReply.Fault) {
            let reply = try XMLReply(Secret(bytes))
            for path in ["AssumeRoleResult/Credentials/AccessKeyId", "GetCallerIdentityResult/Arn"] {
                _ = reply.text(path).flatMap { Principal(arn: $0) }
                _ = reply.secret(path)
            }
            let refusal = STSRefusal(status: 403, reply, context)
            insist(refusal.error)
            _ = (refusal.words?.time, refusal.words?.region)
        } catch {
            insist(STSRefusal(status: 502, unreadable: error, context).error)
        }
    },
    FuzzTarget("command") { bytes in
        let line = String(decoding: bytes, as: UTF8.self)
        _ = CommandWords.needsShell(line)
        if let words = try? CommandWords.split(line) {
            insist(words.count <= bytes.count + 1, "more words than letters")
        }
        let output = Secret(bytes)
        insist(isHarmless(output.logLine(without: [Secret(text: "hvs.CAESIBbzh")], limit: 300)), "an output's line")
    },
    FuzzTarget("principal") { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        for principal in [Principal(arn: text), Principal(record: text)].compactMap(\.self) {
            insist(isHarmless("\(principal)"), "a principal: \(principal)")
            if principal.record.utf8.count <= Principal.longestRecord, principal.record.utf8.allSatisfy({ $0 > 0x20 }) {
                _ = Principal(record: principal.record)
            }
            _ = IdentityPattern(text).map { IdentityPolicy(expecting: [$0]).allows(principal) }
        }
    },
]

extension IdentityPolicy {
    fileprivate init(expecting patterns: [IdentityPattern]) {
        self.init()
        expected = patterns
    }
}
