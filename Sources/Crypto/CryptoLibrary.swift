// Crypto: whether OpenSSL has what everything here stands on. Its configuration file, which is the machine's, can take it away.

private import COpenSSL
package import Diagnosis

package enum CryptoLibrary {
    /// For the start, before anything is signed or sealed: from then on only a want of memory can make these fail, which
    /// ends the process. Throws `configurationInvalid`.
    package static func check() throws(AgentError) {
        let digest = unsafe EVP_MD_fetch(nil, "SHA256", nil)
        let code = unsafe EVP_MAC_fetch(nil, "HMAC", nil)
        let cipher = unsafe EVP_CIPHER_fetch(nil, "AES-256-GCM", nil)
        // SAFETY: each was fetched here or is null, which these take.
        defer {
            unsafe EVP_MD_free(digest)
            unsafe EVP_MAC_free(code)
            unsafe EVP_CIPHER_free(cipher)
        }
        let found = unsafe [
            ("SHA-256", digest != nil), ("HMAC", code != nil), ("AES-256-GCM", cipher != nil),
            ("random numbers", RAND_status() == 1),
        ]
        let missing = found.filter { !$0.1 }.map(\.0)
        guard !missing.isEmpty else { return }
        ERR_clear_error()
        throw AgentError(
            .configurationInvalid, "OpenSSL offers no \(missing.joined(separator: ", "))",
            remedy: "Have its configuration (OPENSSL_CONF, /etc/ssl/openssl.cnf) activate the default or FIPS provider")
    }
}
