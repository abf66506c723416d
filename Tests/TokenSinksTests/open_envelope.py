"""Opens what an encrypted sink holds, as a reader of Vault Agent's would: by an implementation that is not the agent's.

usage: open_envelope.py ENVELOPE PRIVATE_KEY_HEX AAD plain|derived
       open_envelope.py --each FILE
       open_envelope.py --public-key PRIVATE_KEY_HEX

FILE holds a line each, JSON: [ENVELOPE's text, PRIVATE_KEY_HEX, AAD, plain or derived]; each content's SHA-256 is told.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def raw(key: X25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def main() -> None:
    if sys.argv[1] == "--public-key":
        key = raw(X25519PrivateKey.from_private_bytes(bytes.fromhex(sys.argv[2])).public_key())
        print(json.dumps({"curve25519_public_key": base64.b64encode(key).decode()}))
        return
    if sys.argv[1] == "--each":
        for line in Path(sys.argv[2]).read_text(encoding="utf-8").splitlines():
            print(hashlib.sha256(opened(*json.loads(line))).hexdigest())
        return
    path, *rest = sys.argv[1:]
    sys.stdout.buffer.write(opened(Path(path).read_text(encoding="ascii"), *rest))


def opened(text: str, private_hex: str, aad: str, kind: str) -> bytes:
    envelope = json.loads(text)
    assert list(envelope) == ["curve25519_public_key", "nonce", "encrypted_payload"], list(envelope)
    theirs, nonce, payload = (base64.b64decode(text, validate=True) for text in envelope.values())
    assert len(nonce) == 12
    private = X25519PrivateKey.from_private_bytes(bytes.fromhex(private_hex))
    key = private.exchange(X25519PublicKey.from_public_bytes(theirs))
    if kind == "derived":
        low, high = sorted([theirs, raw(private.public_key())])
        key = HKDF(SHA256(), 32, salt=low, info=high).derive(key)
    return AESGCM(key).decrypt(nonce, payload, aad.encode())


main()
