// Fuzzing: what Vault says, and what the agent has written down of it.

import Crypto
import Diagnosis
import HTTPClient
import SecretJSON
import Timekeeping

@testable import AWSIdentity
@testable import StateDirectory
@testable import VaultAPI

private let now = WallTime(secondsSince1970: 1_795_251_600)

/// A success, read as an answer to each of the questions. A lease is counted from a moment, and doubled, and more.
private func readAll(_ reader: ReplyReader) throws(AgentError) {
    _ = reader.warnings
    var errors: [AgentError] = []
    var leases: [Duration?] = []
    do throws(AgentError) {
        if case .granted(let grant) = try reader.loginReply() { leases.append(grant.leaseDuration) }
    } catch {
        errors.append(error)
    }
    do throws(AgentError) {
        leases.append(try reader.renewal().leaseDuration)
    } catch {
        errors.append(error)
    }
    do throws(AgentError) {
        leases.append(try reader.facts().ttl)
    } catch {
        errors.append(error)
    }
    do throws(AgentError) {
        _ = try reader.health(status: 200, certificate: nil)
    } catch {
        errors.append(error)
    }
    errors.forEach { insist($0) }
    for lease in leases.compactMap(\.self) { _ = (reader.sentAt + lease * 2, now + lease) }
}

let vaultTargets = [
    FuzzTarget("vault") { bytes in
        // The first bytes choose the status and what was asked.
        guard bytes.count > 3 else { return }
        let operation = VaultOperation.allCases[Int(bytes[0]) % VaultOperation.allCases.count]
        let status = [200, 204, 307, 400, 403, 404, 412, 429, 473, 500, 502, 503][Int(bytes[1]) % 12]
        let header = String(decoding: bytes.dropFirst(3).prefix(Int(bytes[2] % 32)), as: UTF8.self)
        let reply = HTTPReply(
            status: status, headers: [("retry-after", header), ("content-type", header)],
            body: Secret(bytes.dropFirst(3 + Int(bytes[2] % 32))), sentAt: Instant(nanoseconds: 1))
        let context = AnswerContext(
            operation: operation, address: "https://vault:8200", mount: "auth/aws", role: "app", namespace: "")
        guard 200...299 ~= status else {
            let (error, _) = context.verdict(on: reply, sent: [Secret(text: "hvs.CAESIBbzhrXMP")], at: now)
            insist(error)
            insist(error.retryAfter.map { $0 <= .seconds(3_600) && $0 >= .zero } ?? true, "a pause")
            return
        }
        do throws(AgentError) {
            try readAll(try ReplyReader(reply, context))
        } catch {
            insist(error)
        }
    },
    FuzzTarget("pkcs7") { bytes in
        do throws(AgentError) {
            let proof = try Secret(bytes).text(from: "/latest/dynamic/instance-identity/rsa2048").onOneLine
            let body = LoginProof.ec2PKCS7(proof, nonce: Secret(text: "nonce")).body(role: "app")
            let sent = try JSONValue(body: body, from: "this agent", failure: .internalFault)["pkcs7"]?.string?.secret
            let wanted = bytes.filter { $0 != 0x0A && $0 != 0x0D }
            insist(sent == Secret(wanted), "Vault is sent another proof than IMDS gave")
        } catch {
            insist(error.code == .awsMetadataUnavailable, "\(error)")
            insist(error)
        }
    },
    FuzzTarget("takeover") { bytes in
        guard let record = TakeoverRecord(text: String(decoding: bytes, as: UTF8.self)) else { return }
        guard let again = TakeoverRecord(text: record.text) else {
            insist(false, "what was written is not read: \(record)")
            return
        }
        insist(again.entries.map(\.lease) == record.entries.map(\.lease), "a lease changed by being written")
    },
]
