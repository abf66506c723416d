// HTTPClient: what a TLS handshake showed, kept for the message should it fail. libcurl's own words name neither the
// certificate's names nor its dates.

internal import COpenSSL
internal import Timekeeping

/// Facts of one request's handshakes. Shared with OpenSSL's contexts, which may outlive the request.
final class HandshakeRecord {
    /// The peer's own certificate, once it is known.
    fileprivate(set) var certificate: CertificateFacts?
    /// The certificate of the chain that is not accepted, and OpenSSL's reason.
    fileprivate(set) var refused: (certificate: CertificateFacts, isPeer: Bool, reason: Int32)?
    /// The fatal alert that the peer sent, in OpenSSL's words: "certificate required".
    fileprivate(set) var alert: String?
    /// Whether the peer asked for a client certificate.
    fileprivate(set) var clientCertificate = ClientCertificate.notAsked
    /// What this connection may still read.
    var allowance = ReadAllowance()

    /// What became of a client certificate.
    enum ClientCertificate {
        case notAsked
        /// The peer asked for one, and none is configured.
        case absent
        case sent
        /// The peer is content, with or without one. TLS 1.3 servers look at it after the handshake is done for the client;
        /// a ticket for the next session says that they have.
        case accepted
    }

    fileprivate func clientCertificateAccepted() {
        if clientCertificate != .notAsked { clientCertificate = .accepted }
    }

    /// Has a new context's connections report here, and none of their secrets left behind.
    @unsafe func prepare(_ context: OpaquePointer) {
        unsafe vta_ssl_ctx_wipe_plaintext(context)
        // libcurl would write session keys to the file that SSLKEYLOGFILE names.
        unsafe SSL_CTX_set_keylog_callback(context, nil)
        let held = unsafe Unmanaged.passRetained(self)
        // SAFETY: the context holds a reference of its own, released by the index's free function when the context ends.
        guard unsafe SSL_CTX_set_ex_data(context, recordIndex, held.toOpaque()) == 1 else {
            unsafe held.release()
            return
        }
        if unsafe SSL_CTX_get_verify_mode(context) != SSL_VERIFY_NONE {
            unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER, certificateChecked)
        }
        unsafe SSL_CTX_set_info_callback(context, handshakeMoved)
        unsafe SSL_CTX_set_msg_callback(context, messagePassed)
        unsafe SSL_CTX_set_cert_cb(context, clientCertificateAsked, nil)
    }

    static func of(_ connection: OpaquePointer?) -> HandshakeRecord? {
        guard let connection = unsafe connection, let context = unsafe SSL_get_SSL_CTX(connection),
            let record = unsafe SSL_CTX_get_ex_data(context, recordIndex)
        else { return nil }
        // SAFETY: what stands under this index was put there by `prepare` and is held until the context ends.
        return unsafe Unmanaged<HandshakeRecord>.fromOpaque(record).takeUnretainedValue()
    }
}

/// Where a context keeps its record.
private let recordIndex = unsafe vta_ssl_ctx_index { _, record, _, _, _, _ in
    guard let record = unsafe record else { return }
    // SAFETY: balances `prepare`.
    unsafe Unmanaged<HandshakeRecord>.fromOpaque(record).release()
}

/// OpenSSL's verify callback: told of each certificate of the chain; changes nothing of the verdict.
private func certificateChecked(_ accepted: Int32, _ store: OpaquePointer?) -> Int32 {
    let connection = unsafe X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx())
    guard let record = unsafe HandshakeRecord.of(connection.map { OpaquePointer($0) }) else { return accepted }
    let isPeer = unsafe X509_STORE_CTX_get_error_depth(store) == 0
    // SAFETY: the certificates are the store context's, valid during this call.
    if record.certificate == nil {
        unsafe record.certificate = X509_STORE_CTX_get0_cert(store).map { unsafe CertificateFacts($0) }
    }
    if accepted == 0, record.refused == nil, let certificate = unsafe X509_STORE_CTX_get_current_cert(store) {
        unsafe record.refused = (CertificateFacts(certificate), isPeer, X509_STORE_CTX_get_error(store))
    }
    return accepted
}

/// OpenSSL's info callback.
private func handshakeMoved(_ connection: OpaquePointer?, _ state: Int32, _ value: Int32) {
    guard let connection = unsafe connection, let record = unsafe HandshakeRecord.of(connection) else { return }
    if state & SSL_CB_HANDSHAKE_START != 0 {
        record.allowance.isInHandshake = true
        unsafe HandshakeRecord.limitReading(of: connection)
    } else if state & SSL_CB_HANDSHAKE_DONE != 0 {
        record.allowance.isInHandshake = false
        // Before 1.3 a server looks at the client's certificate first.
        if unsafe SSL_version(connection) < TLS1_3_VERSION { record.clientCertificateAccepted() }
    }
    // The high byte is the alert's level, 2 is fatal.
    guard state & SSL_CB_READ_ALERT == SSL_CB_READ_ALERT, value >> 8 == 2 else { return }
    guard let text = unsafe SSL_alert_desc_string_long(value) else { return }
    unsafe record.alert = String(cString: text)
}

/// OpenSSL's message callback: told of each message of the handshake.
private func messagePassed(
    _ isSent: Int32, _ version: Int32, _ type: Int32, _ bytes: UnsafeRawPointer?, _ count: Int,
    _ connection: OpaquePointer?, _ context: UnsafeMutableRawPointer?
) {
    // SAFETY: `bytes` holds `count` bytes for this call.
    guard isSent == 0, type == SSL3_RT_HANDSHAKE, count > 0, let bytes = unsafe bytes,
        unsafe bytes.load(as: UInt8.self) == UInt8(SSL3_MT_NEWSESSION_TICKET),
        let record = unsafe HandshakeRecord.of(connection)
    else { return }
    record.clientCertificateAccepted()
}

/// OpenSSL is asked for a client certificate. Changes nothing of what is sent.
private func clientCertificateAsked(_ connection: OpaquePointer?, _ context: UnsafeMutableRawPointer?) -> Int32 {
    let isConfigured = unsafe SSL_get_certificate(connection) != nil
    unsafe HandshakeRecord.of(connection)?.clientCertificate = isConfigured ? .sent : .absent
    return 1
}
