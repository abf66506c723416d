"""Certificates of the laboratory's own authority, made anew for every run: nothing to expire, nothing to leak."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

PASSPHRASE = "a passphrase of the laboratory"


@dataclass(frozen=True)
class KeyPair:
    certificate: Path
    key: Path


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, passphrase: str | None = None) -> Path:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    path.chmod(0o600)
    return path


class Certificates:
    """A CA, a server certificate for loopback, one with a wrong name, and a client's."""

    def __init__(self, directory: Path):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._authority_key = ec.generate_private_key(ec.SECP256R1())
        self._authority = self._sign("Laboratory CA", self._authority_key, authority=True)
        self.authority = directory / "ca.pem"
        self.authority.write_bytes(self._authority.public_bytes(serialization.Encoding.PEM))
        self.loopback: list[x509.GeneralName] = [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("::1")),
        ]
        self.server = self.issue("server", self.loopback)
        self.wrong_name = self.issue("wrong-name", [x509.DNSName("elsewhere.example.com")])
        self.client = self.issue("client", [x509.DNSName("agent.example.com")])
        encrypted = serialization.load_pem_private_key(self.client.key.read_bytes(), None)
        self.client_encrypted = KeyPair(
            self.client.certificate, _write_key(directory / "client-encrypted.key", encrypted, PASSPHRASE)
        )
        self.other_authority = Path(directory / "other-ca.pem")
        other_key = ec.generate_private_key(ec.SECP256R1())
        other = self._build("Another CA", "Another CA", other_key, other_key, [], authority=True)
        self.other_authority.write_bytes(other.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, name: str, names: list[x509.GeneralName], *, days: int = 2, says_status_at: str | None = None
    ) -> KeyPair:
        """A leaf certificate of this CA; negative days: expired already. It may say by which URL to ask about it."""
        key = ec.generate_private_key(ec.SECP256R1())
        return self._written(name, self._sign(name, key, names, days=days, status=says_status_at), key)

    def self_signed(self, name: str, names: list[x509.GeneralName]) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        return self._written(name, self._build(name, name, key, key, names, authority=False), key)

    def _written(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
        path = self.directory / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return KeyPair(path, _write_key(self.directory / f"{name}.key", key))

    def _sign(
        self,
        common: str,
        key: ec.EllipticCurvePrivateKey,
        names: list[x509.GeneralName] | None = None,
        *,
        authority: bool = False,
        days: int = 2,
        status: str | None = None,
    ) -> x509.Certificate:
        return self._build(
            common,
            "Laboratory CA",
            key,
            self._authority_key,
            names or [],
            authority=authority,
            days=days,
            status=status,
        )

    @staticmethod
    def _build(
        common: str,
        issuer: str,
        key: ec.EllipticCurvePrivateKey,
        issuer_key: ec.EllipticCurvePrivateKey,
        names: list[x509.GeneralName],
        *,
        authority: bool,
        days: int = 2,
        status: str | None = None,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(common))
            .issuer_name(_name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=3))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        )
        if status:
            place = x509.UniformResourceIdentifier(status)
            described = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)
            lists = x509.DistributionPoint([place], None, None, None)
            builder = builder.add_extension(x509.AuthorityInformationAccess([described]), critical=False)
            builder = builder.add_extension(x509.CRLDistributionPoints([lists]), critical=False)
        if authority:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        else:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
        return builder.sign(issuer_key, hashes.SHA256())


class InstanceIdentityKey:
    """The RSA key with which the laboratory signs instance identity documents, as AWS does with one per region."""

    def __init__(self, directory: Path):
        directory.mkdir(parents=True, exist_ok=True)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name("Laboratory instance identity"))
            .issuer_name(_name("Laboratory instance identity"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .sign(key, hashes.SHA256())
        )
        self.certificate = directory / "instance-identity.pem"
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.key = _write_key(directory / "instance-identity.key", key)
