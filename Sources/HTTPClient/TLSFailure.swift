// HTTPClient: why TLS failed, in words that name the certificate, the file or the alert.

internal import CLibcurl
private import COpenSSL
private import Diagnosis
private import Glibc
private import Timekeeping

extension HTTPFailure {
    /// Nil where TLS is not to blame.
    init?(tlsOf transfer: Transfer, _ code: CURLcode) {
        let handshake = transfer.handle.handshake
        let settings = transfer.request.route.tls
        let peer = transfer.peer
        // The server's refusal can come after the handshake, when the request has begun: so TLS 1.3 has it.
        if let alert = handshake.alert {
            self.init(
                .tlsFailed, refusal(by: peer, alert, handshake, settings), maybeSent: transfer.handle.wasConnected)
            return
        }
        if handshake.allowance.isExceeded {
            let observed = "\(peer) sends more than \(PeerLimits.handshake) bytes and does not finish the TLS handshake"
            self.init(.tlsFailed, observed, maybeSent: false)
            return
        }
        switch code {
        case CURLE_SSL_CONNECT_ERROR, CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_GOT_NOTHING, CURLE_HTTP2,
            CURLE_HTTP2_STREAM:
            guard transfer.head.status == 0 else { break }
            // The alert that says why can be lost to the reset that follows it.
            switch handshake.clientCertificate {
            case .absent:
                let observed = "\(peer) asks for a client certificate, none is configured, and it ends the connection"
                self.init(.tlsFailed, observed, maybeSent: transfer.handle.wasConnected)
                return
            case .sent:
                let observed = clientCertificateRefused(by: peer, settings, "it ends the connection without an answer")
                self.init(.tlsFailed, observed, maybeSent: transfer.handle.wasConnected)
                return
            case .notAsked, .accepted: break
            }
        default: break
        }
        switch code {
        case CURLE_PEER_FAILED_VERIFICATION:
            let expected = settings.serverName ?? transfer.address.host
            let observed =
                handshake.refused.map { untrusted(peer, $0.certificate, $0.isPeer, $0.reason, settings) }
                ?? handshake.certificate.map { "the certificate of \(peer) is for \($0.names), not for \(expected)" }
                ?? "the certificate of \(peer) is refused: \(transfer.handle.detail(code))"
            self.init(.certificateRefused, observed, maybeSent: false)
        case CURLE_SSL_CACERT_BADFILE:
            let place =
                settings.caFile ?? settings.caDirectory
                ?? (settings.caCertificates == nil ? "the system's CA file" : "the text of CA certificates")
            self.init(.tlsFailed, "\(place) holds no usable PEM certificate to check \(peer) by", maybeSent: false)
        case CURLE_SSL_CONNECT_ERROR:
            self = .unfinished(peer, transfer.handle)
        case CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER, CURLE_SSL_CLIENTCERT:
            self.init(.tlsFailed, "TLS with \(peer) failed: \(transfer.handle.detail(code))", maybeSent: false)
        default: return nil
        }
    }

    private static func unfinished(_ peer: String, _ handle: EasyHandle) -> HTTPFailure {
        let detail = handle.detail(CURLE_SSL_CONNECT_ERROR)
        return switch detail {
        case _
        where ["unexpected eof", "SSL_connect:", "Recv failure", "Send failure"].contains { detail.holds($0) }:
            HTTPFailure(.connectionLost, "\(peer) ended the connection during the TLS handshake", maybeSent: false)
        case _ where detail.holds("wrong version number") || detail.holds("packet length too long"):
            HTTPFailure(.tlsFailed, "\(peer) does not answer in TLS; it may serve plain http", maybeSent: false)
        default:
            HTTPFailure(.tlsFailed, "TLS with \(peer) failed: \(detail)", maybeSent: false)
        }
    }
}

/// The peer ended the handshake by an alert.
private func refusal(
    by peer: String, _ alert: String, _ handshake: HandshakeRecord, _ settings: TLSSettings
) -> String {
    if handshake.clientCertificate == .absent {
        return "\(peer) asks for a client certificate, none is configured, and it answers '\(alert)'"
    }
    // RFC 8446, 6.2: the alerts about a certificate received.
    if settings.clientCertificateFile != nil, alert.holds("certificate") || alert == "unknown CA" {
        return clientCertificateRefused(by: peer, settings, "'\(alert)'")
    }
    return alert == "protocol version" ? "\(peer) offers no TLS 1.2 or newer" : "\(peer) refuses TLS: '\(alert)'"
}

private func clientCertificateRefused(by peer: String, _ settings: TLSSettings, _ how: String) -> String {
    "\(peer) refuses the client certificate \(settings.clientCertificateFile ?? "that it was sent"): \(how)"
}

private func untrusted(
    _ peer: String, _ certificate: CertificateFacts, _ isPeer: Bool, _ reason: Int32, _ settings: TLSSettings
) -> String {
    let which =
        isPeer
        ? "the certificate of \(peer) (for \(certificate.names), issued by \(certificate.issuer))"
        : "the CA certificate \(certificate.names) in the chain of \(peer)"
    switch reason {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "\(which) expired at \(certificate.notAfter.map { $0.rfc3339 } ?? "a time that cannot be read")"
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return
            "\(which) is not valid before \(certificate.notBefore.map { $0.rfc3339 } ?? "a time that cannot be read")"
    default:
        let text = settings.caCertificates.map { _ in "the configured text" }
        let places = [settings.caFile, text, settings.caDirectory].compactMap { $0 }.joined(separator: " or ")
        let trust = places.isEmpty ? "the system's CAs" : "a CA of \(places)"
        let why = unsafe String(cString: X509_verify_cert_error_string(Int(reason)))
        return "\(which) is not vouched for by \(trust): \(why)"
    }
}
