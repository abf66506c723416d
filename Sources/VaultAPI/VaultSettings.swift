// VaultAPI: where Vault is and how the agent logs in, as the configuration says it.

package import Diagnosis
package import HTTPClient

/// One Vault or OpenBao cluster.
package struct VaultServer: Hashable, Sendable {
    /// Base URLs without a trailing slash, in order of preference: `https://…`, `http://…`, `unix:///path`. At least one.
    package var addresses: [String]
    /// Sent as `X-Vault-Namespace` where not empty; no slashes at either end.
    package var namespace = ""
    package var tls = TLSSettings()
    /// URL of a proxy for all requests to it, whatever the environment says; not used for sockets.
    package var proxy: String?
    /// Hosts that redirects may lead to beside those of the addresses' own domains, in NO_PROXY's syntax.
    package var redirectHosts: [String] = []
    package var connectTimeout: Duration = .seconds(5)
    /// For one request, connecting included.
    package var requestTimeout: Duration = .seconds(10)

    package init(addresses: [String]) {
        self.addresses = addresses
    }
}

extension VaultServer {
    /// Reads the files that `tls` names. Throws `fileUnreadable` with the one that cannot be used, and why.
    package func checkFiles() throws(AgentError) {
        guard addresses.contains(where: { $0.hasPrefix("https://") }) else { return }
        do throws(HTTPFailure) {
            try tls.checkFiles()
        } catch {
            throw AgentError(
                .fileUnreadable, error.observed,
                remedy: "See vault.tls: does the file exist, may the agent read it, is it PEM?")
        }
    }

    /// The proxy on the way to one of the addresses, chosen for each.
    package func proxy(for address: String, in environment: [String: String]) -> HTTPRoute.Proxy {
        proxy.map { .always($0) } ?? .fromEnvironment(environment, for: address)
    }
}

/// How to log in by the `aws` auth method.
package struct LoginSettings: Hashable, Sendable {
    package enum Method: Hashable, Sendable {
        case iam
        case ec2(EC2Login)
    }

    package var method: Method
    /// Path of the auth mount without `v1/`: `auth/aws`.
    package var mountPath = "auth/aws"
    /// Namespace of the auth mount where it is not the server's; the token then belongs to it.
    package var namespace: String?
    /// Nil: Vault takes the principal's name (iam) or the AMI's id (ec2).
    package var role: String?
    /// Ask for the login reply response-wrapped for so long; nil: not wrapped.
    package var wrapTTL: Duration?

    package init(method: Method) {
        self.method = method
    }
}

package struct EC2Login: Hashable, Sendable {
    /// Which proof of the instance's identity to send.
    package enum Proof: String, CaseIterable, Hashable, Sendable {
        /// PKCS#7 from `/latest/dynamic/instance-identity/rsa2048`.
        case rsa2048
        /// PKCS#7 from `/latest/dynamic/instance-identity/pkcs7` (DSA, older regions).
        case pkcs7
        /// The document and its base64 signature.
        case identity
    }

    package var proof: Proof = .rsa2048
    /// Nil: the agent makes one and keeps it in the state directory.
    package var nonceFile: String?

    package init() {}
}
