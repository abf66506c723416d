// HTTPClient: what libcurl's result codes mean to those who asked. The words for TLS failures are in TLSFailure.swift.

internal import CLibcurl
private import Diagnosis
private import Glibc
private import SystemCalls

extension HTTPFailure {
    /// The failure of a transfer that libcurl ended with `code`.
    init(_ code: CURLcode, of transfer: Transfer) {
        let handle = transfer.handle
        let peer = transfer.peer
        let connected = handle.wasConnected
        if let failure = HTTPFailure(ofProxyOf: transfer, code) ?? HTTPFailure(tlsOf: transfer, code) {
            self = failure
            return
        }
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST:
            self.init(.nameNotResolved, "the name of \(peer) does not resolve", maybeSent: false)
        case CURLE_COULDNT_CONNECT:
            self = .noConnection(to: peer, handle)
        case CURLE_OPERATION_TIMEDOUT where connected:
            self.init(.replyTimedOut, "no whole reply from \(peer) in time: \(handle.detail(code))", maybeSent: true)
        case CURLE_OPERATION_TIMEDOUT:
            self.init(.connectTimedOut, "no connection to \(peer) in time: \(handle.detail(code))", maybeSent: false)
        case CURLE_WEIRD_SERVER_REPLY, CURLE_UNSUPPORTED_PROTOCOL:
            self.init(.replyMalformed, "the reply of \(peer) is not HTTP: \(handle.detail(code))", maybeSent: true)
        case CURLE_OUT_OF_MEMORY where connected && !transfer.head.isComplete:
            // libcurl's word for a line over 100 KB.
            self.init(.replyMalformed, "the reply of \(peer) has an endless header line", maybeSent: true)
        case CURLE_RECV_ERROR where handle.errorMessage.holds("chunked-encoding"):
            self.init(.replyMalformed, "the reply of \(peer) is not HTTP: \(handle.detail(code))", maybeSent: true)
        case CURLE_RECV_ERROR, CURLE_SEND_ERROR, CURLE_PARTIAL_FILE, CURLE_GOT_NOTHING, CURLE_HTTP2, CURLE_HTTP2_STREAM:
            self.init(
                .connectionLost, "the connection to \(peer) ended before the reply: \(handle.detail(code))",
                maybeSent: connected)
        default:
            self.init(.other, "the request to \(peer) failed: \(handle.detail(code))", maybeSent: connected)
        }
    }

    private static func noConnection(to peer: String, _ handle: EasyHandle) -> HTTPFailure {
        let kind: Kind =
            switch handle.systemError {
            case ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL: .noRoute
            case ETIMEDOUT: .connectTimedOut
            default: .connectionRefused
            }
        return HTTPFailure(kind, "no connection to \(peer): \(handle.connectDetail)", maybeSent: false)
    }

    /// Nil where no proxy is to blame.
    private init?(ofProxyOf transfer: Transfer, _ code: CURLcode) {
        let handle = transfer.handle
        guard let proxy = handle.proxy.flatMap(proxyName), !handle.wasConnected else { return nil }
        let why: String
        let answer = handle.number(CURLINFO_HTTP_CONNECTCODE)
        switch code {
        case _ where answer >= 300: why = "it answers \(answer) to CONNECT"
        case CURLE_COULDNT_RESOLVE_PROXY: why = "its name does not resolve"
        case CURLE_COULDNT_CONNECT: why = handle.connectDetail
        case CURLE_PROXY, CURLE_GOT_NOTHING, CURLE_RECV_ERROR, CURLE_SEND_ERROR: why = handle.detail(code)
        case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CONNECT_ERROR:
            // Before the tunnel stands, TLS is with the proxy itself.
            guard answer == 0 else { return nil }
            why = handle.detail(code)
        default: return nil
        }
        self.init(.proxyFailed, "the proxy \(proxy) does not lead to \(transfer.peer): \(why)", maybeSent: false)
    }
}

extension EasyHandle {
    /// libcurl's words for this failure; where it has none, those for the code.
    func detail(_ code: CURLcode) -> String {
        let words = errorMessage
        return words.isEmpty ? unsafe String(cString: curl_easy_strerror(code)) : words
    }

    /// The last connect's errno; 0 where there was none.
    var systemError: Int32 { Int32(truncatingIfNeeded: number(CURLINFO_OS_ERRNO)) }

    var connectDetail: String {
        systemError == 0 ? detail(CURLE_COULDNT_CONNECT) : errorText(systemError)
    }
}
