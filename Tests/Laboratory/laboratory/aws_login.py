"""A stand-in for the checks of Vault's aws auth method: who is it that logs in? OpenBao does not ship that plugin.

What is checked, in which words it is refused, and what is asked of AWS follow Vault's documented behaviour. Tokens are
none of this file's business.
"""

import base64
import binascii
import copy
import fnmatch
import http.client
import json
import secrets
import subprocess
import tempfile
import urllib.parse
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

from .aws import AWS
from .certificates import InstanceIdentityKey

SERVER_ID_HEADER = "X-Vault-AWS-IAM-Server-ID"
ALLOWED_AMZ_HEADERS = {
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
}
IAM_FIELDS = ("iam_http_request_method", "iam_request_url", "iam_request_body", "iam_request_headers")
LONGEST_NONCE = 128


class Refused(Exception):
    """A login that is not let in: HTTP status and the server's words."""

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.message = message
        self.status = status


@dataclass
class AwsRole:
    """Who may log in as a role. What the token is like stands in OpenBao's role of the same name."""

    auth_type: str = "iam"
    bound_principals: list[str] = field(default_factory=list)
    bound_images: list[str] = field(default_factory=list)
    disallow_reauthentication: bool = False


@dataclass(frozen=True)
class Identity:
    role: str
    metadata: dict[str, str]


@dataclass
class _Seen:
    """An entry of the identity access list: one instance that has logged in."""

    nonce: str
    pending_time: str
    reauthentication: bool


@dataclass(frozen=True)
class Admission:
    """Whom a mount lets in, and who has come."""

    server_id: str | None
    roles: dict[str, AwsRole]
    access_list: dict[str, _Seen]
    sts_reachable: bool


class AwsLogins:
    """The checks of one mount."""

    def __init__(self, aws: AWS, identity: InstanceIdentityKey, *, server_id: str | None = None):
        self._aws = aws
        self._identity = identity
        self.server_id = server_id
        self.roles: dict[str, AwsRole] = {}
        self.access_list: dict[str, _Seen] = {}
        self.sts_reachable = True
        self._verdicts: dict[tuple, tuple] | None = None

    @property
    def admission(self) -> Admission:
        """As it is now; what happens later does not change it."""
        return Admission(self.server_id, copy.deepcopy(self.roles), copy.deepcopy(self.access_list), self.sts_reachable)

    @admission.setter
    def admission(self, value: Admission) -> None:
        self.server_id, self.sts_reachable = value.server_id, value.sts_reachable
        self.roles, self.access_list = copy.deepcopy(value.roles), copy.deepcopy(value.access_list)

    def remember_verdicts(self) -> None:
        """From now on STS is asked once for each distinct signed request; what it said of one stays said."""
        self._verdicts = {}

    def identify(self, fields: dict) -> Identity:
        ec2 = [name for name in ("pkcs7", "identity", "signature") if name in fields]
        iam = [name for name in IAM_FIELDS if name in fields]
        if ec2 and iam:
            raise Refused("supplied auth values for both ec2 and iam auth types")
        if ec2:
            if "pkcs7" not in ec2 and len(ec2) < 2:
                raise Refused("supplied some of the auth values for the ec2 auth type but not all")
            return self._identify_ec2(fields)
        if iam:
            if len(iam) < len(IAM_FIELDS):
                raise Refused("supplied some of the auth values for the iam auth type but not all")
            return self._identify_iam(fields)
        raise Refused("didn't supply required authentication values")

    def _role(self, name: str, kind: str) -> AwsRole:
        role = self.roles.get(name)
        if role is None:
            raise Refused(f'entry for role "{name}" not found' if kind == "ec2" else f"entry for role {name} not found")
        if role.auth_type != kind:
            raise Refused(f"auth method {kind} not allowed for role {name}")
        return role

    # iam

    def _identify_iam(self, fields: dict) -> Identity:
        if fields["iam_http_request_method"] != "POST":
            raise Refused("invalid iam_http_request_method; currently only 'POST' is supported")
        url = urllib.parse.urlsplit(_decoded(fields, "iam_request_url").decode("utf-8", "replace"))
        if not url.scheme or not url.hostname:
            raise Refused("error parsing iam_request_url")
        if url.query:
            raise Refused("error validating iam_request_url: the URL must not have a query string")
        body = _decoded(fields, "iam_request_body")
        form = urllib.parse.parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
        if form != {"Action": ["GetCallerIdentity"], "Version": ["2011-06-15"]}:
            raise Refused("iam request body is invalid")
        headers = _headers(fields["iam_request_headers"])
        for name in headers:
            if name.lower().startswith("x-amz-") and name.lower() not in ALLOWED_AMZ_HEADERS:
                raise Refused(f"invalid request header: {name}")
        if self.server_id is not None:
            self._check_server_id(headers)
        arn, user_id, account = self._verdict(url, body, headers)
        friendly, canonical = _principal(arn)
        name = fields.get("role") or friendly
        role = self._role(name, "iam")
        bound = role.bound_principals
        if (
            bound
            and canonical not in bound
            and not any(pattern.endswith("*") and fnmatch.fnmatchcase(canonical, pattern) for pattern in bound)
        ):
            raise Refused(f'IAM Principal "{arn}" does not belong to the role "{name}"')
        metadata = {
            "account_id": account,
            "auth_type": "iam",
            "canonical_arn": canonical,
            "client_arn": arn,
            "client_user_id": user_id.partition(":")[0],
        }
        return Identity(name, metadata)

    def _check_server_id(self, headers: dict[str, list[str]]) -> None:
        problem = f"error validating {SERVER_ID_HEADER} header: "
        lowered = {name.lower(): ",".join(values) for name, values in headers.items()}
        given = lowered.get(SERVER_ID_HEADER.lower(), "")
        if not given:
            raise Refused(problem + f'missing header "{SERVER_ID_HEADER}"')
        if given != self.server_id:
            raise Refused(problem + f'expected "{self.server_id}" but got "{given}"')
        authorization = lowered.get("authorization")
        if authorization is None:
            raise Refused(problem + "missing Authorization header")
        signed = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        if SERVER_ID_HEADER.lower() not in signed:
            raise Refused(problem + "vault header wasn't signed")

    def _verdict(self, url: urllib.parse.SplitResult, body: bytes, headers: dict[str, list[str]]) -> tuple:
        if self._verdicts is None:
            return self._ask_sts(url, body, headers)
        # A signature covers the second it was made in: tokens that log in within one second sign the same.
        signed = (url, body, tuple(sorted((name.lower(), tuple(values)) for name, values in headers.items())))
        if signed not in self._verdicts:
            self._verdicts[signed] = self._ask_sts(url, body, headers)
        return self._verdicts[signed]

    def _ask_sts(self, url: urllib.parse.SplitResult, body: bytes, headers: dict[str, list[str]]) -> tuple:
        """Sends the request that the client signed. To this server's own STS, whatever host the client named: that
        host is only what the signature covers, so it goes into the Host header.
        """
        own = urllib.parse.urlsplit(self._aws.sts_url)
        # Vault joins endpoint and path with a slash of its own; STS takes "//" for "/", moto does not.
        target = "/" + (url.path or "/").lstrip("/")
        connection = http.client.HTTPConnection(own.hostname or "", own.port, timeout=80)
        try:
            if not self.sts_reachable:
                raise OSError("dial tcp: connect: connection refused")
            connection.putrequest("POST", target, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", url.netloc)
            for name, values in headers.items():
                if name.lower() not in ("host", "content-length"):
                    for value in values:
                        connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            problem = f'error making request: Post "{own.geturl()}": {error}'
            raise Refused(f"error making upstream request: {problem}") from None
        finally:
            connection.close()
        if answer.status != 200:
            raise Refused(f"error making upstream request: received error code {answer.status} from STS: {text}")
        try:
            found = {part.tag.rpartition("}")[2]: part.text or "" for part in ElementTree.fromstring(text).iter()}
            return found["Arn"], found["UserId"], found["Account"]
        except (ElementTree.ParseError, KeyError):
            raise Refused("error making upstream request: error parsing STS response") from None

    # ec2

    def _identify_ec2(self, fields: dict) -> Identity:
        document = json.loads(self._verified_document(fields))
        name = fields.get("role") or document["imageId"]
        role = self._role(name, "ec2")
        instance = document["instanceId"]
        if not self._aws.instance_runs(instance):
            raise Refused(f"failed to verify instance ID: error describing instance {instance!r}: not running")
        if role.bound_images and document["imageId"] not in role.bound_images:
            raise Refused(f'Error validating instance: AMI ID "{document["imageId"]}" does not belong to role "{name}"')
        nonce = self._admit(instance, document["pendingTime"], fields, role)
        metadata = {
            "account_id": document["accountId"],
            "ami_id": document["imageId"],
            "auth_type": "ec2",
            "instance_id": instance,
            "region": document["region"],
        }
        if nonce is not None:
            metadata["nonce"] = nonce
        return Identity(name, metadata)

    def _admit(self, instance: str, pending_time: str, fields: dict, role: AwsRole) -> str | None:
        """The identity access list. Returns the nonce if the server made it."""
        given = fields.get("nonce")
        if given is not None and len(given) > LONGEST_NONCE:
            raise Refused("client nonce exceeding the limit of 128 characters")
        seen = self.access_list.get(instance)
        if seen is not None:
            if not seen.reauthentication:
                raise Refused("reauthentication is disabled")
            if not given or not secrets.compare_digest(given, seen.nonce):
                raise Refused("client nonce mismatch")
            if pending_time < seen.pending_time:
                raise Refused("instance meta-data is older than the one used for previous login")
            seen.pending_time = pending_time
            return None
        made = None if given is not None else secrets.token_hex(16)
        allowed = given != "" and not role.disallow_reauthentication
        self.access_list[instance] = _Seen(given or made or "", pending_time, allowed)
        return made

    def _verified_document(self, fields: dict) -> bytes:
        with tempfile.TemporaryDirectory() as directory:
            folder = Path(directory)
            if "pkcs7" in fields:
                text = f"-----BEGIN PKCS7-----\n{fields['pkcs7']}\n-----END PKCS7-----\n"
                if "\n" in fields["pkcs7"]:  # the contract asks for the newlines to be removed
                    raise Refused("failed to decode the PEM encoded PKCS#7 signature", 500)
                (folder / "signed.pem").write_text(_wrapped(text))
                answer = subprocess.run(
                    [
                        *("openssl", "cms", "-verify", "-binary", "-inform", "PEM", "-in", folder / "signed.pem"),
                        *("-certfile", self._identity.certificate, "-nointern", "-noverify"),
                    ],
                    capture_output=True,
                    timeout=40,
                )
                if answer.returncode != 0:
                    raise Refused("failed to verify the signature", 500)
                return answer.stdout
            document = _decoded(fields, "identity")
            (folder / "signature").write_bytes(_decoded(fields, "signature"))
            public = subprocess.run(
                ["openssl", "x509", "-in", self._identity.certificate, "-noout", "-pubkey"],
                capture_output=True,
                check=True,
                timeout=40,
            )
            (folder / "public.pem").write_bytes(public.stdout)
            answer = subprocess.run(
                ["openssl", "dgst", "-sha256", "-verify", folder / "public.pem", "-signature", folder / "signature"],
                input=document,
                capture_output=True,
                timeout=40,
            )
            if answer.returncode != 0:
                raise Refused("instance identity verification using SHA256 RSA is unsuccessful", 500)
            return document


def _wrapped(pem: str) -> str:
    """PEM with lines of 64 characters, as openssl wants them."""
    first, middle, last = pem.strip().split("\n")
    return "\n".join([first, *(middle[at : at + 64] for at in range(0, len(middle), 64)), last, ""])


def _decoded(fields: dict, name: str) -> bytes:
    value = fields[name]
    if not value:
        raise Refused(f"missing {name}")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise Refused(f"failed to base64 decode {name}") from None


def _headers(given: object) -> dict[str, list[str]]:
    """Base64 of JSON, JSON in a string, or an object; values are strings or lists of strings."""
    problem = Refused("error parsing iam_request_headers")
    if isinstance(given, str):
        try:
            text = given if given.lstrip().startswith("{") else base64.b64decode(given, validate=True).decode()
            given = json.loads(text)
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise problem from None
    if not isinstance(given, dict) or not given:
        raise Refused("missing iam_request_headers")
    headers = {name: [value] if isinstance(value, str) else value for name, value in given.items()}
    if not all(isinstance(values, list) and all(isinstance(v, str) for v in values) for values in headers.values()):
        raise problem
    return headers


def _principal(arn: str) -> tuple[str, str]:
    """The friendly name of a caller, and its ARN as roles are bound to it: an assumed role's is the role's."""
    parts = arn.split(":")
    if len(parts) != 6 or parts[0] != "arn" or parts[2] not in ("iam", "sts"):
        raise Refused(f'error parsing arn "{arn}": unrecognized arn')
    kind, *names = parts[5].split("/")
    if kind == "assumed-role":
        kind, name = "role", names[0]
    elif kind in ("user", "role", "instance-profile"):
        name = names[-1]
    else:
        raise Refused(f'error parsing arn "{arn}": unrecognized principal type: "{kind}"')
    return name, f"arn:{parts[1]}:iam::{parts[4]}:{kind}/{name}"
