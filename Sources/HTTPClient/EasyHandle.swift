// HTTPClient: a request in libcurl's terms. Every option that this program sets is set here.

internal import CLibcurl
private import COpenSSL
internal import Crypto
private import Diagnosis
private import Timekeeping

/// What is left of a request's time-outs when a hop starts.
struct TimeLimits {
    let connect: Duration
    let total: Duration
    /// So long a connection may have lain idle for the request to take it.
    let idle: Duration
}

/// Owns one easy handle and all that it points at. On the queue only.
@safe final class EasyHandle {
    let pointer: UnsafeMutableRawPointer
    private let errorText: UnsafeMutablePointer<CChar>
    private var fields: UnsafeMutablePointer<curl_slist>?
    private var connectTo: UnsafeMutablePointer<curl_slist>?
    private let body: Secret
    private let material: TLSMaterial
    let handshake = HandshakeRecord()
    /// The proxy's URL, where there is one on the way.
    let proxy: String?
    /// The first option that libcurl refused, and why.
    private var refused: (option: CURLoption, code: CURLcode)?

    init(_ request: HTTPRequest, to address: WebAddress, within limits: TimeLimits) throws(HTTPFailure) {
        material = address.scheme == .https ? try TLSMaterial(reading: request.route.tls) : TLSMaterial()
        body = request.body ?? Secret([])
        proxy =
            request.route.unixSocketPath == nil
            ? request.route.proxy.address(for: address.host, port: address.port) : nil
        if let proxy, proxyName(proxy) == nil {
            throw HTTPFailure(
                .proxyFailed, "the proxy's URL for \(address.authority) is not a proxy's URL", maybeSent: false)
        }
        // SAFETY: the handle is this object's own, cleaned up in deinit.
        guard let pointer = unsafe curl_easy_init() else {
            throw HTTPFailure(.other, "no memory for a request to \(address.authority)", maybeSent: false)
        }
        unsafe self.pointer = pointer
        unsafe errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
        unsafe errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        setManners(limits)
        try setRoute(request.route, to: address)
        setTLS(request.route.tls)
        setMethod(request.method)
        // libcurl sends a request again, POST or not, where a used connection ends without a byte of reply. A fresh one it
        // does not: so what must not come twice is sent once.
        if request.wantsOtherConnection || !request.isIdempotent { set(CURLOPT_FRESH_CONNECT, 1) }
        if request.wantsOtherConnection {
            set(CURLOPT_DNS_SHUFFLE_ADDRESSES, 1)
        }
        try setFields(request, to: address)
        if let (option, code) = refused {
            let why = unsafe String(cString: curl_easy_strerror(code))
            throw HTTPFailure(
                .other, "libcurl refused option \(option.rawValue) for \(address.authority): \(why)", maybeSent: false)
        }
    }

    deinit {
        // The handle first: it points at the others.
        unsafe curl_easy_cleanup(pointer)
        unsafe curl_slist_free_all(fields)
        unsafe curl_slist_free_all(connectTo)
        unsafe errorText.deallocate()
    }

    // MARK: What it is asked to do

    private func setManners(_ limits: TimeLimits) {
        unsafe note(CURLOPT_ERRORBUFFER, vta_easy_set_pointer(pointer, CURLOPT_ERRORBUFFER, errorText))
        unsafe note(CURLOPT_OPENSOCKETFUNCTION, vta_easy_close_on_exec(pointer))
        set(CURLOPT_NOSIGNAL, 1)
        // A name server that does not answer must not hold up the queue when a request is called off.
        set(CURLOPT_QUICK_EXIT, 1)
        set(CURLOPT_PROTOCOLS_STR, "http,https")
        set(CURLOPT_FOLLOWLOCATION, 0)
        set(CURLOPT_USERAGENT, Product.userAgent)
        // A name that leads elsewhere now is asked there now; a login every few minutes asks no name server too often.
        set(CURLOPT_DNS_CACHE_TIMEOUT, 0)
        set(CURLOPT_PATH_AS_IS, 1)
        set(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS)
        set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
        set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(limits.connect))
        set(CURLOPT_TIMEOUT_MS, milliseconds(limits.total))
        set(CURLOPT_MAXAGE_CONN, (milliseconds(limits.idle) + 999) / 1_000)
        set(CURLOPT_MAXLIFETIME_CONN, ConnectionPool.lifetimeSeconds)
    }

    private func setRoute(_ route: HTTPRoute, to address: WebAddress) throws(HTTPFailure) {
        if let name = route.tls.serverName, address.scheme == .https {
            // libcurl takes SNI and the expected name from the URL: so the URL names the certificate's host, and the
            // connection goes where the address says.
            set(CURLOPT_URL, try certificateURL(address, name))
            unsafe connectTo = curl_slist_append(nil, "::\(address.authority)")
            unsafe note(CURLOPT_CONNECT_TO, vta_easy_set_list(pointer, CURLOPT_CONNECT_TO, connectTo))
        } else {
            set(CURLOPT_URL, address.text)
        }
        // Both are always set: what is left unset, libcurl looks up in the environment.
        set(CURLOPT_PROXY, proxy ?? "")
        set(CURLOPT_NOPROXY, "")
        if let path = route.unixSocketPath { set(CURLOPT_UNIX_SOCKET_PATH, path) }
    }

    private func setTLS(_ settings: TLSSettings) {
        set(CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2)
        set(CURLOPT_PROXY_SSLVERSION, CURL_SSLVERSION_TLSv1_2)
        set(CURLOPT_SSL_VERIFYPEER, settings.skipVerify ? 0 : 1)
        set(CURLOPT_SSL_VERIFYHOST, settings.skipVerify ? 0 : 2)
        // A resumed session, or a cached set of CAs, would outlive a change of the files.
        set(CURLOPT_SSL_SESSIONID_CACHE, 0)
        set(CURLOPT_CA_CACHE_TIMEOUT, 0)
        if let authorities = material.authorities {
            // Only these, not the system's too.
            unsafe note(CURLOPT_CAINFO, vta_easy_set_string(pointer, CURLOPT_CAINFO, nil))
            unsafe note(CURLOPT_CAPATH, vta_easy_set_string(pointer, CURLOPT_CAPATH, nil))
            lend(CURLOPT_CAINFO_BLOB, authorities)
        }
        if let client = material.client {
            lend(CURLOPT_SSLCERT_BLOB, client.certificates)
            lend(CURLOPT_SSLKEY_BLOB, client.key)
        }
        // SAFETY: libcurl calls the hook only while it runs this handle; the record is held to the end.
        let record = unsafe Unmanaged.passUnretained(handshake).toOpaque()
        unsafe note(CURLOPT_SSL_CTX_FUNCTION, vta_easy_set_tls_hook(pointer, contextMade, record))
    }

    private func setMethod(_ method: HTTPMethod) {
        if method == .get {
            set(CURLOPT_HTTPGET, 1)
            return
        }
        set(CURLOPT_POST, 1)
        set(CURLOPT_CUSTOMREQUEST, method.rawValue)
        unsafe note(
            CURLOPT_POSTFIELDSIZE_LARGE, vta_easy_set_size(pointer, CURLOPT_POSTFIELDSIZE_LARGE, body.count))
        unsafe body.withBytes { bytes in
            // SAFETY: a secret's bytes stay where they are until its last holder lets go; `body` is held to the end.
            unsafe note(CURLOPT_POSTFIELDS, vta_easy_set_pointer(pointer, CURLOPT_POSTFIELDS, bytes.baseAddress))
        }
    }

    // MARK: Header fields

    private func setFields(_ request: HTTPRequest, to address: WebAddress) throws(HTTPFailure) {
        var names: Set<String> = []
        for header in request.headers {
            guard header.name.utf8.allSatisfy(isTokenByte), !header.name.isEmpty else {
                throw HTTPFailure(
                    .other, "a header's name for \(address.authority) is not a token", maybeSent: false)
            }
            let value =
                switch header.value {
                case .plain(let text): Secret(text: text)
                case .secret(let secret): secret
                }
            guard unsafe value.withBytes({ bytes in unsafe bytes.allSatisfy { $0 != 0 && $0 != 10 && $0 != 13 } })
            else {
                throw HTTPFailure(
                    .other, "the value of header \(header.name) for \(address.authority) holds a line end or NUL",
                    maybeSent: false)
            }
            append(header.name, value)
            names.insert(header.name.lowercased())
        }
        if request.route.tls.serverName != nil, address.scheme == .https, !names.contains("host") {
            append("Host", Secret(text: address.hostField))
        }
        // A name with a colon and no value: fields that libcurl shall not add of its own accord.
        for name in ["Accept", "Content-Type", "Expect"] where !names.contains(name.lowercased()) {
            unsafe add(field: "\(name):")
        }
        unsafe note(CURLOPT_HTTPHEADER, vta_easy_set_list(pointer, CURLOPT_HTTPHEADER, fields))
    }

    private func append(_ name: String, _ value: Secret) {
        // libcurl's way to write a field without a value is "name;".
        let start = Array((value.isEmpty ? "\(name);" : "\(name): ").utf8)
        let count = start.count + value.count
        unsafe withUnsafeTemporaryAllocation(byteCount: count + 1, alignment: 1) { line in
            // SAFETY: `line` holds both parts and the final NUL; libcurl copies it, and its copy is wiped when freed.
            unsafe line.copyBytes(from: start)
            unsafe value.withBytes { bytes in
                unsafe UnsafeMutableRawBufferPointer(rebasing: line[start.count..<count]).copyMemory(from: bytes)
            }
            unsafe line[count] = 0
            if let text = unsafe line.baseAddress?.assumingMemoryBound(to: CChar.self) { unsafe add(field: text) }
            unsafe OPENSSL_cleanse(line.baseAddress, line.count)
        }
    }

    private func add(field: UnsafePointer<CChar>) {
        // SAFETY: libcurl copies the text; where it has no memory, the list stays as it is.
        if let longer = unsafe curl_slist_append(fields, field) {
            unsafe fields = longer
        } else {
            note(CURLOPT_HTTPHEADER, CURLE_OUT_OF_MEMORY)
        }
    }

    // MARK: Setting options

    private func set(_ option: CURLoption, _ value: Int) {
        unsafe note(option, vta_easy_set_long(pointer, option, value))
    }

    private func set(_ option: CURLoption, _ value: String) {
        unsafe note(option, vta_easy_set_string(pointer, option, value))
    }

    private func lend(_ option: CURLoption, _ secret: Secret) {
        unsafe secret.withBytes { bytes in
            // SAFETY: a secret's bytes stay where they are until its last holder lets go; `material` is held to the end.
            unsafe note(option, vta_easy_lend_blob(pointer, option, bytes.baseAddress, bytes.count))
        }
    }

    private func note(_ option: CURLoption, _ code: CURLcode) {
        if code != CURLE_OK, refused == nil { refused = (option, code) }
    }

    /// Has the reply delivered to C functions, which must not be called after `context` ends.
    @unsafe func deliver(
        body: @convention(c) (UnsafeMutablePointer<CChar>?, Int, Int, UnsafeMutableRawPointer?) -> Int,
        headers: @convention(c) (UnsafeMutablePointer<CChar>?, Int, Int, UnsafeMutableRawPointer?) -> Int,
        to context: UnsafeMutableRawPointer
    ) {
        unsafe vta_easy_set_receiver(pointer, CURLOPT_WRITEFUNCTION, body)
        unsafe vta_easy_set_pointer(pointer, CURLOPT_WRITEDATA, context)
        unsafe vta_easy_set_receiver(pointer, CURLOPT_HEADERFUNCTION, headers)
        unsafe vta_easy_set_pointer(pointer, CURLOPT_HEADERDATA, context)
    }

    /// Has a C function called whenever libcurl has come a step further; it ends the transfer by anything but 0. It must not be
    /// called after `context` ends.
    @unsafe func tellProgress(
        to function: @convention(c) (UnsafeMutableRawPointer?, Int, Int, Int, Int) -> Int32,
        _ context: UnsafeMutableRawPointer
    ) {
        unsafe vta_easy_set_progress(pointer, function, context)
    }

    // MARK: What became of it

    /// libcurl's own words for a failure; may be empty.
    var errorMessage: String {
        // SAFETY: libcurl keeps the buffer NUL-terminated.
        unsafe String(cString: errorText)
    }

    func number(_ info: CURLINFO) -> Int {
        var value = 0
        unsafe vta_easy_get_long(pointer, info, &value)
        return value
    }

    /// Whether the connection stood, TLS included, so that the request may have been sent.
    var wasConnected: Bool {
        var microseconds: curl_off_t = 0
        unsafe vta_easy_get_size(pointer, CURLINFO_PRETRANSFER_TIME_T, &microseconds)
        return microseconds > 0
    }
}

/// libcurl's CURLOPT_SSL_CTX_FUNCTION.
private func contextMade(
    _ easy: UnsafeMutableRawPointer?, _ context: UnsafeMutableRawPointer?, _ record: UnsafeMutableRawPointer?
) -> CURLcode {
    guard let context = unsafe context, let record = unsafe record else { return CURLE_OK }
    // SAFETY: libcurl gives an SSL_CTX and the record that was set with this hook.
    unsafe Unmanaged<HandshakeRecord>.fromOpaque(record).takeUnretainedValue().prepare(OpaquePointer(context))
    return CURLE_OK
}

/// The URL at the host that its certificate names.
private func certificateURL(_ address: WebAddress, _ name: String) throws(HTTPFailure) -> String {
    do {
        return try address.at(host: name).text
    } catch {
        throw HTTPFailure(.badURL, "the server name '\(name)' cannot stand in a URL", maybeSent: false)
    }
}

/// Zero would mean no limit.
private func milliseconds(_ duration: Duration) -> Int {
    max(1, Int(clamping: (duration.nanoseconds + 999_999) / 1_000_000))
}

/// RFC 9110's `tchar`, in ASCII.
private func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"):
        true
    default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
}
