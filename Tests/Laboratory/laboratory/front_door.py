"""The front door: a stand-in for Vault's aws auth plugin, which OpenBao does not ship, in front of a real OpenBao.

`POST /v1/<mount>/login` is answered here: the AWS side of the login is checked (aws_login.py), and if it holds, OpenBao
itself logs the principal in. For that an approle auth method is mounted in OpenBao at the very same path, with a role
of the same name, so TTLs, maxima, periods, uses, policies, wrapping, quotas, renewals and the refusal to renew for a
deleted role are OpenBao's own; the front door only makes the one-time secret ID that lets the principal through.

Every other request passes through untouched: method, target, headers and body to OpenBao, status, headers and body
back. All requests are recorded, so that tests can count what an agent asks.
"""

import http.client
import json
import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from .administration import administer
from .aws import AWS
from .aws_login import Admission, AwsLogins, AwsRole, Identity, Refused
from .certificates import InstanceIdentityKey
from .openbao import Answer, OpenBao
from .web import Reply, Request, WebServer

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "te", "upgrade"}


@dataclass(frozen=True)
class Exchange:
    """One request and how it was answered."""

    at: float  # time.monotonic() when it arrived
    method: str
    path: str  # without /v1/, the namespace in front
    token: str  # X-Vault-Token, or empty
    status: int
    lease: int | None = None  # auth.lease_duration of the answer, in seconds
    took: float = 0  # seconds until the answer was there
    client: int | None = None  # serial number of the client's certificate


@dataclass
class _Canned:
    """An answer in OpenBao's place."""

    path_ends: str
    reply: Reply | None
    times: int


class Mount:
    """One aws auth mount: its logins' checks, and its roles here and in OpenBao."""

    def __init__(self, bao: OpenBao, logins: AwsLogins, namespace: str, path: str):
        self._bao = bao
        self.logins = logins
        self.namespace = namespace
        self.path = path
        bao.expect("POST", f"sys/{path}", {"type": "approle"}, namespace=namespace)

    def role(self, name: str, who: AwsRole, **token: object) -> None:
        """Writes a role; `token` are the token_ settings of Vault's roles, without that prefix: ttl="20s"."""
        settings = {f"token_{key}": value for key, value in token.items()}
        self._bao.expect("POST", f"{self.path}/role/{name}", settings, namespace=self.namespace)
        self.logins.roles[name] = who

    def delete_role(self, name: str) -> None:
        self._bao.expect("DELETE", f"{self.path}/role/{name}", namespace=self.namespace)
        self.logins.roles.pop(name, None)


class FrontDoor:
    """Where agents find Vault. Serves the same on each of its listeners."""

    def __init__(self, bao: OpenBao, aws: AWS, identity: InstanceIdentityKey):
        self._bao = bao
        self._aws = aws
        self._identity = identity
        self._mounts: dict[str, Mount] = {}
        self._canned: list[_Canned] = []
        self._lock = threading.Lock()
        self._servers: list[WebServer] = []
        self.exchanges: list[Exchange] = []
        self.secrets: set[str] = set()
        self.tokens: list[str] = []  # every client token handed out, in order
        self._entries: dict[tuple[str, ...], tuple[str, str]] | None = None
        self.url = self.listen().url

    def listen(
        self, *, host: str = "127.0.0.1", unix: Path | None = None, tls: ssl.SSLContext | None = None
    ) -> WebServer:
        server = WebServer(self._answer, host=host, unix=unix, tls=tls)
        self._servers.append(server)
        return server

    @property
    def listeners(self) -> int:
        return len(self._servers)

    def keep_listeners(self, count: int) -> None:
        """So many of them, the first; the others are stopped."""
        for server in self._servers[count:]:
            server.stop()
        del self._servers[count:]

    def mount(self, path: str = "auth/aws", *, namespace: str = "", server_id: str | None = None) -> Mount:
        made = Mount(self._bao, AwsLogins(self._aws, self._identity, server_id=server_id), namespace, path)
        self._mounts["/".join(filter(None, [namespace, path]))] = made
        return made

    def unmount(self, path: str) -> None:
        self._bao.expect("DELETE", f"sys/{path}")
        del self._mounts[path]

    def mounted(self, path: str) -> Mount | None:
        """The mount that a path leads into."""
        return next((mount for at, mount in self._mounts.items() if path.startswith(f"{at}/")), None)

    def be_prompt(self) -> None:
        """For benchmarks, where many logins follow each other: one principal's secret ID serves all its logins by one
        role, and STS is asked once for each distinct signed request. What each login is checked for stays.
        """
        self._entries = {}
        for mount in self._mounts.values():
            mount.logins.remember_verdicts()

    def answer(self, path_ends: str, reply: Reply | None, times: int = 1) -> None:
        """The next requests whose path ends so get this reply instead of OpenBao's; None: no reply, only the end."""
        with self._lock:
            self._canned.append(_Canned(path_ends, reply, times))

    def answer_itself(self) -> None:
        """No more of the replies that `answer` was told."""
        with self._lock:
            self._canned.clear()

    @property
    def canned_answers(self) -> int:
        with self._lock:
            return len(self._canned)

    def mounts_now(self) -> dict[str, tuple[Mount, Admission]]:
        """The mounts by their paths, and whom each lets in."""
        return {path: (mount, mount.logins.admission) for path, mount in self._mounts.items()}

    def keep_mounts(self, kept: dict[str, tuple[Mount, Admission]]) -> None:
        """These and no others, letting in whom they let in then. What OpenBao has at the paths is not touched."""
        self._mounts = {path: mount for path, (mount, _) in kept.items()}
        for mount, admission in kept.values():
            mount.logins.admission = admission

    def count(self, *, since: float = 0, token: str | None = None, path_ends: str = "") -> int:
        with self._lock:
            return sum(
                1
                for each in self.exchanges
                if each.at >= since and each.path.endswith(path_ends) and token in (None, each.token)
            )

    # Answering

    def _answer(self, request: Request) -> Reply | None:
        started = time.monotonic()
        namespace = request.headers.get("X-Vault-Namespace", "").strip("/")
        path = "/".join(filter(None, [namespace, request.path.removeprefix("/v1/").strip("/")]))
        reply = self._reply(request, path)
        token = request.headers.get("X-Vault-Token", "")
        lease = self._note(token, reply.body if reply else b"")
        with self._lock:
            took = time.monotonic() - started
            status = reply.status if reply else 0
            self.exchanges.append(Exchange(started, request.method, path, token, status, lease, took, request.client))
        return reply

    def _reply(self, request: Request, path: str) -> Reply | None:
        with self._lock:
            for canned in self._canned:
                if path.endswith(canned.path_ends):
                    canned.times -= 1
                    if canned.times == 0:
                        self._canned.remove(canned)
                    return canned.reply
        mount = self._mounts.get(path.removesuffix("/login"))
        try:
            if mount is not None and path.endswith("/login") and request.method in ("POST", "PUT"):
                return self._log_in(request, mount)
            if request.headers.get("X-Vault-Token") == self._bao.root_token:
                reply = administer(self, request, path)
                if reply is not None:
                    return reply
            headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
            return _passed(self._bao.forward(request.method, request.target, headers, request.body))
        except (OSError, http.client.HTTPException) as error:
            return Reply.json(502, {"errors": [f"the front door cannot reach OpenBao: {type(error).__name__}"]})

    def _log_in(self, request: Request, mount: Mount) -> Reply:
        # First, as Vault does, whether it serves at all: sealed, standing by, or no such namespace.
        health = self._bao.call("GET", f"{mount.path}/role?list=true", namespace=mount.namespace)
        if health.status not in (200, 404):
            return _passed(health)
        try:
            try:
                fields = json.loads(request.body)
                if not isinstance(fields, dict):
                    raise ValueError
            except ValueError:
                raise Refused("failed to parse JSON input") from None
            identity = mount.logins.identify(fields)
        except Refused as refused:
            return Reply.json(refused.status, {"errors": [refused.message]})
        role_id, secret = self._entry(mount, identity)
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in HOP_BY_HOP and name.lower() != "x-vault-namespace"
        }
        if mount.namespace:
            headers["X-Vault-Namespace"] = mount.namespace
        body = json.dumps({"role_id": role_id, "secret_id": secret}).encode()
        return _passed(self._bao.forward("POST", f"/v1/{mount.path}/login", headers, body))

    def _entry(self, mount: Mount, identity: Identity) -> tuple[str, str]:
        """What lets a principal in by approle: the role's ID and a secret ID, good once, or for all when prompt."""
        role, metadata = f"{mount.path}/role/{identity.role}", json.dumps(identity.metadata)
        key = (mount.namespace, role, metadata)
        if self._entries is not None and key in self._entries:
            return self._entries[key]
        role_id = self._bao.expect("GET", f"{role}/role-id", namespace=mount.namespace)["data"]["role_id"]
        limits = {"num_uses": 1, "ttl": "60s"} if self._entries is None else {"num_uses": 0}
        made = self._bao.expect(
            "POST", f"{role}/secret-id", {**limits, "metadata": metadata}, namespace=mount.namespace
        )
        entry = (role_id, made["data"]["secret_id"])
        if self._entries is not None:
            self._entries[key] = entry
        return entry

    def _note(self, token: str, body: bytes) -> int | None:
        """Remembers the tokens that went by; returns the lease that the answer gives."""
        try:
            reply = json.loads(body) if body else {}
        except ValueError:
            reply = {}
        auth = wrap = {}
        if isinstance(reply, dict):
            auth, wrap = reply.get("auth") or {}, reply.get("wrap_info") or {}
        handed_out = auth.get("client_token")
        with self._lock:
            self.secrets.update(filter(None, (token, handed_out, wrap.get("token"))))
            if handed_out and handed_out not in self.tokens:
                self.tokens.append(handed_out)
        return auth.get("lease_duration")

    def drop_connections(self) -> None:
        for server in self._servers:
            server.drop_connections()

    def settle(self) -> None:
        """Ends every connection, and returns when what came by them has had its answer."""
        for server in self._servers:
            server.settle()

    def stop(self) -> None:
        for server in self._servers:
            server.stop()


def _passed(answer: Answer) -> Reply:
    headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
    return Reply(answer.status, answer.body, headers)
