"""The fault proxy does what its faults say, and nothing once they are over."""

import errno
import http.client
import json
import socket
import threading
import time

import pytest

from laboratory.faults import Fault


def ask(port: int, timeout: float = 5) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", "/v1/sys/health")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.fixture
def proxy(lab):
    made = lab.fault_proxy()
    yield made
    made.stop()


def test_it_passes_everything_before_and_after(proxy):
    assert ask(proxy.port)[0] == 200
    for fault in Fault:
        proxy.set(fault)
    proxy.set(Fault.NONE)
    assert ask(proxy.port)[0] == 200


def test_refused(proxy):
    proxy.set(Fault.REFUSE)
    with pytest.raises(ConnectionRefusedError):
        ask(proxy.port)


def test_nobody_else_is_given_its_port_while_it_refuses(proxy):
    """Who asks Vault there meanwhile would ask a stranger, such as another test's server."""
    proxy.set(Fault.REFUSE)
    with socket.socket() as other, pytest.raises(OSError) as taken:
        other.bind(("127.0.0.1", proxy.port))
    assert taken.value.errno == errno.EADDRINUSE


def test_a_held_request_goes_through_when_the_hang_is_over(proxy):
    proxy.set(Fault.HANG)
    threading.Timer(0.5, proxy.set, [Fault.NONE]).start()
    started = time.monotonic()
    assert ask(proxy.port)[0] == 200
    assert time.monotonic() - started >= 0.4


def test_a_black_hole_answers_nothing(proxy):
    proxy.set(Fault.BLACK_HOLE)
    with pytest.raises(TimeoutError):
        ask(proxy.port, 0.5)


def test_unavailable(proxy):
    proxy.set(Fault.UNAVAILABLE)
    assert ask(proxy.port) == (503, b'{"errors":["Vault is sealed"]}')


def test_nonsense_and_halves(proxy):
    proxy.set(Fault.GARBAGE)
    with pytest.raises(http.client.HTTPException):
        ask(proxy.port)
    proxy.set(Fault.HALF)
    with pytest.raises((http.client.HTTPException, ConnectionError, ValueError)):
        json.loads(ask(proxy.port)[1])
    proxy.set(Fault.BROKEN_JSON)
    status, body = ask(proxy.port)
    assert status == 200
    with pytest.raises(ValueError):
        json.loads(body)


def test_slow(proxy):
    proxy.set(Fault.SLOW)
    with pytest.raises(TimeoutError):
        started = time.monotonic()
        while time.monotonic() - started < 3:
            ask(proxy.port, 0.7)
