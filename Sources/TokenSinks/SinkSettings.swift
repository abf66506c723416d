// TokenSinks: where a token is put for applications, as the configuration says it.

/// One place where applications find the token.
package struct SinkSettings: Hashable, Sendable {
    package enum Place: Hashable, Sendable {
        case file(FilePlace)
        case socket(SocketPlace)
    }

    package var place: Place
    package var format: TokenFormat = .token
    /// End `token` and `env` with a newline.
    package var newline = false
    /// Put a single-use wrapping token there instead, good for so long.
    package var wrapTTL: Duration?
    /// Encrypt as Vault Agent does; nil: plain.
    package var encryption: EncryptionSettings?
    /// Put a child token with only these policies there; empty: the token itself.
    package var policies: [String] = []
    package var onChange: ChangeAction?

    package init(place: Place) {
        self.place = place
    }

    /// Where applications find it.
    package var path: String {
        switch place {
        case .file(let file): file.path
        case .socket(let socket): socket.path
        }
    }
}

package struct FilePlace: Hashable, Sendable {
    /// Absolute.
    package var path: String
    /// Permission bits, 0 to 0o777.
    package var mode: UInt16 = 0o640
    /// User by name or number; nil: the agent's.
    package var owner: String?
    /// Group by name or number; nil: the agent's.
    package var group: String?

    package init(path: String) {
        self.path = path
    }
}

package struct SocketPlace: Hashable, Sendable {
    /// Absolute, at most 107 bytes.
    package var path: String
    package var mode: UInt16 = 0o660
    package var owner: String?
    package var group: String?
    /// Peers let through besides root and the agent's own user, by name or number; both empty: whoever the mode lets connect.
    package var allowUsers: [String] = []
    package var allowGroups: [String] = []

    package init(path: String) {
        self.path = path
    }
}

extension SinkSettings.Place {
    /// The kind and the path: `file /run/app/token`.
    package var name: String {
        switch self {
        case .file(let place): "file \(place.path)"
        case .socket(let place): "socket \(place.path)"
        }
    }
}

package enum TokenFormat: String, CaseIterable, Hashable, Sendable {
    /// The bare token.
    case token
    /// Token, accessor, policies, metadata, lease, times.
    case json
    /// `VAULT_TOKEN=…` and `VAULT_ADDR=…`, for systemd's EnvironmentFile.
    case env
}

/// Vault Agent's encrypted sink: X25519, AES-256-GCM.
package struct EncryptionSettings: Hashable, Sendable {
    /// JSON file with the reader's public key.
    package var publicKeyPath: String
    /// Authenticated along with the token; set from `aad` or the variable that `aad_env_var` names.
    package var additionalData: String = ""
    /// Derive the key by HKDF-SHA256 instead of taking the shared secret as it is.
    package var deriveKey = false

    package init(publicKeyPath: String) {
        self.publicKeyPath = publicKeyPath
    }
}

/// What to do when the token in a sink has changed.
package enum ChangeAction: Hashable, Sendable {
    /// Run an argument vector, without a shell, for at most so long.
    case command([String], timeout: Duration)
    /// Send a signal, by number, to the process that a pid file names.
    case signal(Int32, pidFile: String)
}
