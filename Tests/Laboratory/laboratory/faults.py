"""A controllable fault between an agent and Vault: refuses, hangs, answers nonsense, cuts off, dawdles."""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable
from enum import Enum


class Fault(Enum):
    NONE = "passes everything"
    REFUSE = "connections are refused"
    HANG = "requests are taken and held; once the fault is over, the held ones go through"
    BLACK_HOLE = "requests are taken and never answered; the connection ends when the fault does"
    UNAVAILABLE = "every request is answered with 503, sealed"
    GARBAGE = "every request is answered with bytes that are not HTTP"
    BROKEN_JSON = "Vault's answer with a body that is cut off, its length made to fit"
    HALF = "half of Vault's answer, then the end of the connection"
    SLOW = "Vault's answer, ten bytes a second"


_SEALED = b'{"errors":["Vault is sealed"]}'


# What a server does in place of its answer: given the client's connection, which ends then, the request, and what gets
# the true answer where that is wanted.
Misbehaviour = Callable[[socket.socket, bytes, Callable[[], bytes]], None]


class FaultProxy:
    """TCP and HTTP between an agent and one upstream; `set` changes what it does, at once."""

    def __init__(self, upstream_port: int):
        self._upstream = ("127.0.0.1", upstream_port)
        self._lock = threading.Condition()
        self._fault: Fault | Misbehaviour = Fault.NONE
        self._stopped = False
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.requests = 0  # or, while connections are refused, none: they never get this far
        # Has the port but does not listen: while connections are refused nobody else is given it.
        self._place = _bound(0)
        self.port = self._place.getsockname()[1]
        self._listen()
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def fault(self) -> Fault | Misbehaviour:
        return self._fault

    def set(self, fault: Fault | Misbehaviour) -> None:
        with self._lock:
            before, self._fault = self._fault, fault
            self._lock.notify_all()
        if fault is Fault.REFUSE:
            self._close_listener()
        elif before is Fault.REFUSE:
            self._listen()
        # What began under the one rule does not go on under the next, save that what was held or slow is let go.
        if before not in (Fault.HANG, Fault.SLOW):
            self._end_connections()

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            self._lock.notify_all()
        self._close_listener()
        self._place.close()
        self._end_connections()

    def _listen(self) -> None:
        self._listener = listener = _bound(self.port)
        listener.listen(64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _close_listener(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _end_connections(self) -> None:
        with self._lock:
            opened = list(self._open)
        for each in opened:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server: socket.socket | None = None
        with self._lock:
            self._open.add(client)
        try:
            server = socket.create_connection(self._upstream, 5)
            with self._lock:
                self._open.add(server)
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                request = _message(client)
                if not request or not self._exchange(client, server, request):
                    return
        except OSError:
            return
        finally:
            for each in filter(None, (client, server)):
                with self._lock:
                    self._open.discard(each)
                each.close()

    def _exchange(self, client: socket.socket, server: socket.socket, request: bytes) -> bool:
        """One request; false: the connection is to end."""
        self.requests += 1
        fault = self._fault
        if fault in (Fault.HANG, Fault.BLACK_HOLE):
            with self._lock:
                self._lock.wait_for(lambda: self._fault is not fault or self._stopped)
            if fault is Fault.BLACK_HOLE or self._stopped or _gone(client):
                return False
            fault = self._fault
        if fault is Fault.UNAVAILABLE:
            head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
            client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(_SEALED) + _SEALED)
            return True
        if fault is Fault.GARBAGE:
            client.sendall(bytes(range(256)) * 4)
            return False

        def true_answer() -> bytes:
            server.sendall(request)
            return _message(server)

        if not isinstance(fault, Fault):
            fault(client, request, true_answer)
            return False
        answer = true_answer()
        if not answer:
            return False
        match fault:
            case Fault.HALF:
                client.sendall(answer[: len(answer) // 2])
                return False
            case Fault.BROKEN_JSON:
                head, _, body = answer.partition(b"\r\n\r\n")
                kept = body[: len(body) // 2]
                lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
                client.sendall(b"\r\n".join([*lines, b"Content-Length: %d" % len(kept), b"", b""]) + kept)
            case Fault.SLOW:
                for at in range(0, len(answer), 10):
                    client.sendall(answer[at : at + 10])
                    with self._lock:
                        if self._lock.wait_for(lambda: self._fault is not Fault.SLOW or self._stopped, 1):
                            client.sendall(answer[at + 10 :])
                            break
            case _:
                client.sendall(answer)
        return True


def _gone(client: socket.socket) -> bool:
    """Whether the other side has ended the connection."""
    readable, _, _ = select.select([client], [], [], 0)
    return bool(readable) and client.recv(1, socket.MSG_PEEK) == b""


def _bound(port: int) -> socket.socket:
    """On loopback, beside others so made of which none listens; 0: a port that nobody has."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


def _message(source: socket.socket) -> bytes:
    """One HTTP/1.1 message with a Content-Length or no body; empty: the connection has ended."""
    data = b""
    deadline = time.monotonic() + 120
    while b"\r\n\r\n" not in data:
        source.settimeout(max(0.1, deadline - time.monotonic()))
        part = source.recv(65_536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        part = source.recv(65_536)
        if not part:
            return b""
        body += part
    return head + b"\r\n\r\n" + body
