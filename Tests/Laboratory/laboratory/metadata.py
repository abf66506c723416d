"""Stand-ins for two services that have no open-source server: EC2's instance metadata (version 2) and the container
credentials endpoint of ECS and EKS. The credentials that they hand out are real ones of moto's.
"""

import base64
import contextlib
import datetime
import json
import secrets
import subprocess
import threading
import time
from enum import Enum

from .aws import AWS, REGION, ROLE, Credentials
from .certificates import InstanceIdentityKey
from .web import Reply, Request, WebServer

LONGEST_SESSION = 21_600


class Fault(Enum):
    NONE = "none"
    DOWN = "every request is answered with 500"
    SLOW = "every answer takes 3 s"
    PUT_HANGS = "PUT is never answered, GET is: the hop limit is too small for the token's way back"
    NO_ROLE = "no instance profile: the credentials' list is 404"
    EXPIRED = "the credentials' Expiration is in the past, as in an outage of their supplier"
    GARBAGE = "the credentials are not JSON"


def _stamp(time_: datetime.datetime) -> str:
    return time_.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Credentials:
    """Credentials of one role, taken anew from STS when asked to rotate."""

    def __init__(self, aws: AWS, role: str, seconds: int):
        self._aws, self.role, self._seconds = aws, role, seconds
        self.current: Credentials = aws.assume(role, seconds=seconds)

    def rotate(self) -> Credentials:
        self.current = self._aws.assume(self.role, seconds=self._seconds)
        return self.current


class InstanceMetadata:
    """IMDSv2 at `url`. Version 1 is refused with 401, as on an instance with HttpTokens=required."""

    def __init__(
        self,
        aws: AWS,
        identity: InstanceIdentityKey,
        *,
        role: str = ROLE,
        host: str = "127.0.0.1",
        port: int = 0,
        credentials_last: int = 3600,
    ):
        self._aws = aws
        self._identity = identity
        self._credentials = _Credentials(aws, role, credentials_last)
        self._sessions: dict[str, float] = {}
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._is_stopped = False
        self._fault = Fault.NONE
        self.version_1 = False
        self.requests: list[str] = []
        self._server = WebServer(self._answer, host=host, port=port)
        self.url = self._server.url

    @property
    def secrets(self) -> set[str]:
        return set(self._sessions)

    @property
    def credentials(self) -> Credentials:
        return self._credentials.current

    @property
    def fault(self) -> Fault:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        with self._changed:
            self._fault = fault
            self._changed.notify_all()

    def hand_out(self, credentials: Credentials) -> None:
        """From now on these, until they are rotated."""
        self._credentials.current = credentials

    def rotate(self) -> Credentials:
        """AWS rotates the role's credentials; the earlier ones stay valid until they expire."""
        return self._credentials.rotate()

    def forget_sessions(self) -> None:
        """Every session token so far is void, as after the service's own restart."""
        with self._lock:
            self._sessions = dict.fromkeys(self._sessions, 0.0)

    def document(self) -> bytes:
        launched = self._aws.launched
        return json.dumps(
            {
                "accountId": self._aws.account,
                "architecture": "x86_64",
                "availabilityZone": f"{REGION}a",
                "billingProducts": None,
                "imageId": self._aws.image_id,
                "instanceId": self._aws.instance_id,
                "instanceType": "m5.large",
                "pendingTime": _stamp(launched),
                "privateIp": "10.0.0.10",
                "region": REGION,
                "version": "2017-09-30",
            },
            indent=2,
        ).encode()

    def _answer(self, request: Request) -> Reply | None:
        with self._lock:
            self.requests.append(f"{request.method} {request.path}")
        fault = self.fault
        match fault:
            case Fault.DOWN:
                return Reply.text(500, "Internal Server Error")
            case Fault.SLOW:
                self._hold(fault, 3)
            case Fault.PUT_HANGS if request.method == "PUT":
                self._hold(fault, 30)
                return None
        if request.method == "PUT":
            return self._open_session(request)
        if not self._authorised(request):
            return Reply.text(401, "Unauthorized")
        return self._read(request.path)

    def _hold(self, fault: Fault, seconds: float) -> None:
        """So long, or until the fault is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._fault is not fault or self._is_stopped, seconds)

    def _open_session(self, request: Request) -> Reply:
        if request.path != "/latest/api/token":
            return Reply.text(404, "Not Found")
        if request.headers.get("X-Forwarded-For") is not None:
            return Reply.text(403, "Forbidden")
        lasting = request.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if not lasting.isdigit() or not 1 <= int(lasting) <= LONGEST_SESSION:
            return Reply.text(400, "Bad Request")
        token = base64.b64encode(secrets.token_bytes(40)).decode()
        with self._lock:
            self._sessions[token] = time.monotonic() + int(lasting)
        return Reply(
            200,
            token.encode(),
            [("Content-Type", "text/plain"), ("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", lasting)],
        )

    def _authorised(self, request: Request) -> bool:
        token = request.headers.get("X-aws-ec2-metadata-token")
        if token is None:
            return self.version_1
        with self._lock:
            return self._sessions.get(token, 0) > time.monotonic()

    def _read(self, path: str) -> Reply:
        role_list = "/latest/meta-data/iam/security-credentials"
        if path.startswith(role_list):
            if self.fault is Fault.NO_ROLE:
                return Reply.text(404, "Not Found")
            if path.rstrip("/") == role_list:
                return Reply.text(200, self._credentials.role)
            if path.rpartition("/")[2] != self._credentials.role:
                return Reply.text(404, "Not Found")
            if self.fault is Fault.GARBAGE:
                return Reply.text(200, "<html>not what was asked for</html>")
            return Reply.json(200, self._role_credentials())
        if path.startswith("/latest/dynamic/instance-identity/"):
            proof = self._proof(path.rpartition("/")[2])
            return Reply.text(404, "Not Found") if proof is None else Reply(200, proof)
        plain = {
            "/latest/meta-data/placement/region": REGION,
            "/latest/meta-data/placement/availability-zone": f"{REGION}a",
            "/latest/meta-data/instance-id": self._aws.instance_id,
        }
        return Reply.text(200, plain[path]) if path in plain else Reply.text(404, "Not Found")

    def _role_credentials(self) -> dict[str, str]:
        current = self._credentials.current
        now = datetime.datetime.now(datetime.UTC)
        expiration = current.expiration or now
        if self.fault is Fault.EXPIRED:
            expiration = now - datetime.timedelta(minutes=10)
        return {
            "Code": "Success",
            "LastUpdated": _stamp(now),
            "Type": "AWS-HMAC",
            "AccessKeyId": current.access_key,
            "SecretAccessKey": current.secret_key,
            "Token": current.session_token or "",
            "Expiration": _stamp(expiration),
        }

    def _proof(self, name: str) -> bytes | None:
        """The identity document and its signatures, made by openssl with the laboratory's key in place of AWS's."""
        document = self.document()
        match name:
            case "document":
                return document
            case "signature":
                signed = self._openssl(document, ["dgst", "-sha256", "-sign", self._identity.key])
                return base64.encodebytes(signed).strip()
            case "rsa2048" | "pkcs7":
                signed = self._openssl(
                    document,
                    [
                        *("cms", "-sign", "-binary", "-nodetach", "-md", "sha256", "-outform", "DER"),
                        *("-signer", self._identity.certificate, "-inkey", self._identity.key),
                    ],
                )
                return base64.encodebytes(signed).strip()
        return None

    @staticmethod
    def _openssl(data: bytes, arguments: list) -> bytes:
        return subprocess.run(
            ["openssl", *map(str, arguments)], input=data, capture_output=True, check=True, timeout=40
        ).stdout

    def settle(self) -> None:
        """Ends every connection, and returns when what came by them has had its answer."""
        self._server.settle()

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        with contextlib.suppress(OSError):
            self._server.stop()


class ContainerCredentials:
    """The credentials endpoint of ECS and EKS Pod Identity: JSON at one path, for whoever shows the authorization."""

    def __init__(
        self, aws: AWS, *, role: str = ROLE, authorization: str | None = None, host: str = "127.0.0.1", port: int = 0
    ):
        self._credentials = _Credentials(aws, role, 3600)
        self._aws = aws
        self.authorization = authorization
        self.path = "/v2/credentials/1f4e3c"
        self.requests: list[str] = []
        self._server = WebServer(self._answer, host=host, port=port)
        self.url = f"{self._server.url}{self.path}"

    @property
    def secrets(self) -> set[str]:
        return {self.authorization} if self.authorization else set()

    @property
    def credentials(self) -> Credentials:
        return self._credentials.current

    def rotate(self) -> Credentials:
        return self._credentials.rotate()

    def _answer(self, request: Request) -> Reply:
        self.requests.append(f"{request.method} {request.path}")
        if request.path != self.path:
            return Reply.json(404, {"code": "NotFound", "message": "no such credentials"})
        if self.authorization is not None and request.headers.get("Authorization") != self.authorization:
            return Reply.json(403, {"code": "AccessDenied", "message": "invalid authorization token"})
        current = self._credentials.current
        return Reply.json(
            200,
            {
                "RoleArn": self._aws.role_arns[self._credentials.role],
                "AccessKeyId": current.access_key,
                "SecretAccessKey": current.secret_key,
                "Token": current.session_token,
                "Expiration": _stamp(current.expiration or datetime.datetime.now(datetime.UTC)),
            },
        )

    def stop(self) -> None:
        self._server.stop()
