"""Peers in Vault's place that have not proved who they are: what they send costs nothing that others would notice."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from laboratory.agent import Reader
from laboratory.web import Reply, WebServer

# TLS handshake records of 4,096 messages each, every one of them "HelloRequest, no content".
HELLO_REQUESTS = (b"\x16\x03\x03\x40\x00" + b"\x00" * 16384) * 8
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"
REFUSED = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 100000000000\r\n\r\n"
FILLING = b"x" * 131072
MEGABYTES = 20_000
WATCHED = 25


@contextmanager
def flood(start: bytes, block: bytes) -> Iterator[tuple[int, list[int]]]:
    """A listener that sends `block` for as long as the other side takes it. Its port, and the bytes each peer took."""
    taken: list[int] = []
    ended = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(peer: socket.socket, at: int) -> None:
        with peer, contextlib.suppress(OSError):
            peer.recv(4096)
            peer.sendall(start)
            while not ended.is_set() and taken[at] < MEGABYTES << 20:
                taken[at] += peer.send(block)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                taken.append(0)
                threading.Thread(target=serve, args=(peer, len(taken) - 1), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], taken
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


# How the peer is reached, what it sends once and then without end, and what the log says of it.
FLOODS = {
    "handshake": ("https", b"", HELLO_REQUESTS, "does not finish the TLS handshake"),
    "chunks": ("http", CHUNKED, FILLING, "sends more than 2621440 bytes"),
    "proxy": ("http", REFUSED, FILLING, "with more than 65536 bytes to CONNECT"),
}


def test_floods_leave_the_other_token_fresh_and_sigterm_obeyed(lab, tmp_path):
    lab.role("short", ttl="12s")
    configuration = lab.configuration(tmp_path, role="short")
    with contextlib.ExitStack() as stack:
        taken = {}
        for name, (scheme, start, block, _) in FLOODS.items():
            port, taken[name] = stack.enter_context(flood(start, block))
            (tmp_path / name).mkdir()
            stranger = lab.configuration(tmp_path / name)["tokens"][0]
            vault = {"address": f"{scheme}://127.0.0.1:{port}"}
            if name == "proxy":
                vault = {"address": "https://vault.test:8200", "proxy": f"http://127.0.0.1:{port}"}
            configuration["tokens"].append(stranger | {"name": name, "vault": vault})
        run = lab.agent(folder=tmp_path, configuration=configuration)
        run.wait_for_token(15)
        reader = Reader(run, lab.bao.remaining)
        reader.start()
        for name, (_, _, _, words) in FLOODS.items():
            run.wait_for_log(f"token={name} .*{words}", 15)
        time.sleep(WATCHED)
        polls = reader.end()
        for name, each in taken.items():
            assert len(each) > 1, f"{name}: the flooding peer was asked once only"
            # Beside what is read there is what the kernel's buffers on both sides hold.
            assert max(each) < 64 << 20, name
        assert polls and all(poll.valid for poll in polls), run.log
        finished = run.stop(5)
        assert finished.status == 0, finished.log


PAGE = b"<html><body>It works!</body></html>"


@pytest.mark.parametrize(
    "answer",
    [
        Reply(200, PAGE),
        Reply(404, PAGE),
        Reply(405, b""),
        Reply.json(412, {"errors": ["required index state not present"]}),
        Reply.json(500, {"errors": ["internal error"]}),
        Reply.json(429, {"errors": ["rate limit quota exceeded"]}, [("Retry-After", "3600")]),
        Reply.json(400, {"errors": ["cannot write to readonly storage"]}),
    ],
    ids=["200 page", "404 page", "405", "412", "unknown 500", "Retry-After an hour", "readonly"],
)
def test_one_address_that_does_not_serve_never_keeps_the_next_from_being_asked(lab, tmp_path, answer):
    lab.role("short", ttl="12s")
    bad = WebServer(lambda request: answer)
    try:
        configuration = lab.configuration(tmp_path, address=[bad.url, lab.front_door.url], role="short")
        run = lab.agent(folder=tmp_path, configuration=configuration)
        run.wait_for_token(5)
        reader = Reader(run, lab.bao.remaining)
        reader.start()
        run.wait_for_log("Token renewed", 20)
        assert all(poll.valid for poll in reader.end()), run.log
        assert "Vault answers at another address" in run.log
        run.stop()
    finally:
        bad.stop()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_within_the_configured_host_are_followed_and_told_of_once(lab, tmp_path, status):
    lab.role("short", ttl="12s")
    to = lab.front_door.url
    first = WebServer(lambda request: Reply(status, b"", [("Location", to + request.target)]))
    try:
        configuration = lab.configuration(tmp_path, address=first.url, role="short")
        run = lab.agent(folder=tmp_path, configuration=configuration)
        run.wait_for_token(10)
        run.wait_for_log("Token renewed", 20)
        assert run.log.count("A server redirects") == 1, run.log
        run.stop()
    finally:
        first.stop()


def test_a_redirect_to_another_host_needs_to_be_listed(lab, tmp_path):
    to = lab.front_door.url.replace("127.0.0.1", "localhost")
    first = WebServer(lambda request: Reply(307, b"", [("Location", to + request.target)]))
    try:
        configuration = lab.configuration(tmp_path, address=first.url)
        before = lab.logins()
        run = lab.agent(folder=tmp_path, configuration=configuration)
        line = run.wait_for_log("redirect that is not followed", 10)
        assert "localhost is neither configured" in line and lab.logins() == before
        run.stop()
        configuration["vault"]["redirect_hosts"] = ["localhost"]
        run = lab.agent(folder=tmp_path, configuration=configuration)
        run.wait_for_token(10)
        run.stop()
    finally:
        first.stop()
