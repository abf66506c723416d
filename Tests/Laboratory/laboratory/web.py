"""A small threaded HTTP/1.1 server for the laboratory's own services: TCP or Unix socket, with TLS or without."""

import contextlib
import http.server
import json
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from pathlib import Path

from .processes import SLOWER, LaboratoryError

LARGEST_BODY = 1 << 20


@dataclass(frozen=True)
class Request:
    method: str
    target: str  # as it stood in the request line: path and query, undecoded
    headers: Message  # by name, case-insensitive
    body: bytes
    client: int | None = None  # serial number of the certificate that the client showed

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes = b""
    headers: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def json(cls, status: int, value: object, headers: list[tuple[str, str]] | None = None) -> "Reply":
        return cls(status, json.dumps(value).encode() + b"\n", [("Content-Type", "application/json"), *(headers or [])])

    @classmethod
    def text(cls, status: int, value: str) -> "Reply":
        return cls(status, value.encode(), [("Content-Type", "text/plain")])


Answer = Callable[[Request], Reply | None]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: "_Listener"

    def setup(self) -> None:
        # The handshake belongs to the connection's own thread: one slow client must not hold up the others.
        if self.server.tls is not None:
            self.request.settimeout(self.timeout)
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()
        if self.request.family != socket.AF_UNIX:
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > LARGEST_BODY:
            self.close_connection = True
            return
        body = self.rfile.read(length)
        reply = self.server.answer(Request(self.command, self.path, self.headers, body, self._client_serial()))
        if reply is None:  # answer with nothing at all
            self.close_connection = True
            return
        try:
            reason = HTTPStatus(reply.status).phrase
        except ValueError:
            reason = "Unknown"
        lines = [f"HTTP/1.1 {reply.status} {reason}"]
        lines += [f"{name}: {value}" for name, value in reply.headers]
        if not any(name.lower() == "content-length" for name, _ in reply.headers):
            lines.append(f"Content-Length: {len(reply.body)}")
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        self.wfile.write(head if self.command == "HEAD" else head + reply.body)

    def _client_serial(self) -> int | None:
        shown = self.request.getpeercert() if isinstance(self.request, ssl.SSLSocket) else None
        return int(shown["serialNumber"], 16) if shown else None

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_LIST = do_OPTIONS = _serve

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class _Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int] | Path, answer: Answer, tls: ssl.SSLContext | None):
        self.answer = answer
        self.tls = tls
        self.connections: set[socket.socket] = set()
        self._served = threading.Condition()
        self._serving = 0
        if isinstance(address, Path):
            self.address_family = socket.AF_UNIX
            super().__init__(str(address), _Handler)  # type: ignore[arg-type]
        else:
            self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            super().__init__(address, _Handler)

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        return connection, address or ("unix", 0)

    def process_request(self, request: object, client_address: object) -> None:
        with self._served:
            self._serving += 1
        super().process_request(request, client_address)  # type: ignore[arg-type]

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            with self._served:
                self._serving -= 1
                self._served.notify_all()

    def drained(self, seconds: float) -> bool:
        """Waits until no connection that was accepted is served any more; false: not within `seconds`."""
        with self._served:
            return self._served.wait_for(lambda: self._serving == 0, seconds)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away or failed the TLS handshake is its own affair."""


class WebServer:
    """Answers on one address until stopped; `answer` runs on the connection's thread."""

    def __init__(
        self,
        answer: Answer,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        unix: Path | None = None,
        tls: ssl.SSLContext | None = None,
    ):
        self._listener = _Listener(unix or (host, port), answer, tls)
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        scheme = "https" if tls else "http"
        if unix is not None:
            self.url = f"unix://{unix}"
            self.port = 0
        else:
            self.port = self._listener.server_address[1]
            self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    def drop_connections(self) -> None:
        """Ends every connection that stands, as a server's restart would."""
        for connection in list(self._listener.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def settle(self) -> None:
        """Ends every connection, and returns when what came by them has had its answer: of a client that has gone
        nothing comes later.
        """
        with socket.socket(self._listener.address_family) as last:  # accepted after all that came before
            last.settimeout(10 * SLOWER)
            last.connect(self._listener.server_address)
            last.shutdown(socket.SHUT_WR)
            while last.recv(4096):
                pass
        deadline = time.monotonic() + 10 * SLOWER
        while not self._listener.drained(0.02):
            self.drop_connections()
            if time.monotonic() > deadline:
                raise LaboratoryError(f"{self.url} still answers after {10 * SLOWER} s")

    def stop(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self.drop_connections()
        self._thread.join(5)
