// HTTPClient: what libcurl's result codes mean to those who asked.

internal import CLibcurl
private import Glibc

extension HTTPFailure {
    /// The failure of a transfer that libcurl ended with `code`.
    init(_ code: CURLcode, of transfer: Transfer) {
        let handle = transfer.handle
        let peer = transfer.peer
        let words = handle.errorMessage
        let detail = words.isEmpty ? unsafe String(cString: curl_easy_strerror(code)) : words
        let connected = handle.wasConnected

        let proxyAnswer = handle.number(CURLINFO_HTTP_CONNECTCODE)
        if proxyAnswer >= 300, !connected {
            self.init(
                .proxyFailed, "the proxy refused a tunnel to \(peer) with status \(proxyAnswer)", maybeSent: false)
            return
        }
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST:
            self.init(.nameNotResolved, "the name of \(peer) does not resolve", maybeSent: false)
        case CURLE_COULDNT_RESOLVE_PROXY, CURLE_PROXY:
            self.init(.proxyFailed, "the proxy to \(peer) cannot be used: \(detail)", maybeSent: false)
        case CURLE_COULDNT_CONNECT:
            self = .notConnected(to: peer, errno: Int32(handle.number(CURLINFO_OS_ERRNO)), transfer)
        case CURLE_OPERATION_TIMEDOUT:
            self =
                connected
                ? HTTPFailure(.replyTimedOut, "no whole reply from \(peer) in time: \(detail)", maybeSent: true)
                : HTTPFailure(.connectTimedOut, "no connection to \(peer) in time: \(detail)", maybeSent: false)
        case CURLE_PEER_FAILED_VERIFICATION:
            self.init(.certificateRefused, "the certificate of \(peer) is refused: \(detail)", maybeSent: false)
        case CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CIPHER:
            self.init(.tlsFailed, "TLS with \(peer) failed: \(detail)", maybeSent: false)
        case CURLE_RECV_ERROR where words.contains(" alert "):
            // In TLS 1.3 a server refuses a client certificate after the client has begun to speak.
            self.init(.tlsFailed, "TLS with \(peer) failed: \(detail)", maybeSent: true)
        case CURLE_RECV_ERROR where words.contains("chunked"), CURLE_WEIRD_SERVER_REPLY, CURLE_UNSUPPORTED_PROTOCOL:
            self.init(.replyMalformed, "the reply of \(peer) is not HTTP: \(detail)", maybeSent: true)
        case CURLE_RECV_ERROR, CURLE_SEND_ERROR, CURLE_PARTIAL_FILE, CURLE_GOT_NOTHING, CURLE_HTTP2, CURLE_HTTP2_STREAM:
            self.init(
                .connectionLost, "the connection to \(peer) ended before the reply: \(detail)", maybeSent: connected)
        default:
            self.init(.other, "the request to \(peer) failed: \(detail)", maybeSent: connected)
        }
    }

    private static func notConnected(to peer: String, errno code: Int32, _ transfer: Transfer) -> HTTPFailure {
        let why = code == 0 ? transfer.handle.errorMessage : unsafe String(cString: strerror(code))
        let observed = "no connection to \(peer): \(why)"
        if case .url = transfer.request.route.proxy {
            return HTTPFailure(.proxyFailed, observed, maybeSent: false)
        }
        return switch code {
        case ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL: HTTPFailure(.noRoute, observed, maybeSent: false)
        case ETIMEDOUT: HTTPFailure(.connectTimedOut, observed, maybeSent: false)
        default: HTTPFailure(.connectionRefused, observed, maybeSent: false)
        }
    }
}
