"""Servers that turn hostile under an agent at work: Vault, IMDS, ECS's endpoint and STS, each in a way of its own."""

import itertools
import os
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from at_work import MAXIMUM, AtWork

from laboratory.aws import CHAINED_ROLE
from laboratory.certificates import KeyPair
from laboratory.faults import Fault
from laboratory.figures import figures
from laboratory.processes import SLOWER, wait_until
from laboratory.web import Reply

pytestmark = pytest.mark.long(80)

ALL = os.environ.get("CHAOS") == "all"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
FILLING = b"x" * 65_536
ENOUGH = 10_000_000_000
# Bytes that one connection may take: what is read before it is given up, and what the kernel holds on both sides.
MOST_TAKEN = 64 << 20
# Seconds of CPU in a second while four servers flood; 0.02 were seen.
BUSIEST = 0.3
# Bytes of memory that they may cost for a moment; 3 MiB were seen.
MOST_MEMORY = 16 << 20


def bomb() -> bytes:
    """50 MB as 50 kB, in a form which nobody has asked for."""
    packed = zlib.compressobj(9, wbits=31)
    return b"".join([*(packed.compress(bytes(1 << 20)) for _ in range(50)), packed.flush()])


@dataclass
class Hostility:
    """Sends `start`, then `block` again and again, after so many seconds each."""

    words: str  # what the agent says of it
    start: bytes
    block: bytes = b""
    pause: float = 0
    most: int = 0  # bytes that one connection has taken

    def __call__(self, client: socket.socket, request: bytes, answer: Callable[[], bytes]) -> None:
        client.sendall(self.start)
        taken = len(self.start)
        while self.block and taken < ENOUGH:
            taken += client.send(self.block)
            self.most = max(self.most, taken)
            time.sleep(self.pause)


def of_each_kind() -> dict[str, Hostility]:
    large, slow, headers = "is longer than", "in time|did not answer", "bytes of headers"
    known, chunked = b"Content-Length: %d\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"
    zipped = bomb()
    zipped = HEAD + b"Content-Encoding: gzip\r\n" + known % len(zipped) + zipped
    return {
        "10 GB": Hostility(large, HEAD + known % ENOUGH, FILLING),
        "a byte a second": Hostility(slow, HEAD + known % 1000, b"{", pause=1),
        "headers without end": Hostility(headers, HEAD, b"X-More: yes\r\n" * 4_096),
        "interim replies without end": Hostility(headers, b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 4_096),
        "a body without length or end": Hostility(large, HEAD + b"Connection: close\r\n\r\n", FILLING),
        "a header without end": Hostility("endless header line", HEAD + b"X-More: ", FILLING),
        "early hints without end": Hostility(headers, b"", b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" * 2_048),
        "50 MB as gzip": Hostility("not JSON|no XML", zipped),
        "chunks without end": Hostility(large, HEAD + chunked, b"10000\r\n" + FILLING + b"\r\n"),
        "a header, a byte a second": Hostility(slow, HEAD + b"X-More: ", b"x", pause=1),
    }


KINDS = list(of_each_kind())
# Tokens by the server that each depends on: another Vault, IMDS, ECS, STS.
SERVERS = ("vault", "imds", "ecs", "sts")
# The servers turn hostile at once, each in another way; in all of the cases each does in every way.
CASES = range(len(KINDS)) if ALL else (0,)


class Served:
    """An agent with a token for each server, behind a proxy each; its first token needs none of them."""

    def __init__(self, lab, folder: Path):
        self._aws, self._imds, self._ecs = lab.aws, lab.metadata(), lab.container_credentials()
        urls = (lab.front_door.url, self._imds.url, self._ecs.url, lab.aws.sts_url)
        self.proxies = {name: lab.fault_proxy(url) for name, url in zip(SERVERS, urls, strict=True)}
        (folder / "config").write_text(
            f"[profile assumed]\nrole_arn = {lab.aws.role_arns[CHAINED_ROLE]}\ncredential_source = Environment\n"
        )
        sources = {"imds": {"source": "imds"}, "ecs": {"source": "container"}}
        sources["sts"] = {"source": "assume_role", "profile": "assumed"}
        self.agent = AtWork(
            lab,
            folder,
            environment={
                **lab.aws.user.environment,
                "AWS_CONFIG_FILE": str(folder / "config"),
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.proxies["imds"].url,
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": self.proxies["ecs"].url + self._ecs.path,
                "AWS_ENDPOINT_URL_STS": self.proxies["sts"].url,
            },
            others={
                "vault": {"vault": {"address": self.proxies["vault"].url}},
                **{name: {"auth": {"credentials": source}} for name, source in sources.items()},
            },
        )

    def expire_credentials(self) -> None:
        """All that the agent was given. Their sources have others, for whoever asks."""
        for service in (self._imds, self._ecs):
            self._aws.expire(service.credentials)
            service.rotate()
        self._aws.expire_issued()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"Vault sends {KINDS[case]}")
def test_hostile_servers_cost_little_and_the_agent_is_well_when_they_are(lab, tmp_path, case):
    served = Served(lab, tmp_path)
    agent, proxies = served.agent, served.proxies
    every = of_each_kind()
    ways = dict(zip(SERVERS, itertools.islice(itertools.cycle(every.values()), case, None), strict=False))
    before, began = figures(agent.pid), time.monotonic()
    for name, way in ways.items():
        proxies[name].set(way)
    served.expire_credentials()
    agent.watched_for(MAXIMUM + 4)
    for name, way in ways.items():
        agent.run.wait_for_log(f"failed token={name} .*({way.words})", 30)
    after, lasted = figures(agent.pid), time.monotonic() - began
    assert max(way.most for way in ways.values()) < MOST_TAKEN
    assert (after.cpu_seconds - before.cpu_seconds) / lasted < BUSIEST
    assert after.peak_resident - before.peak_resident < MOST_MEMORY
    for proxy in proxies.values():
        proxy.set(Fault.NONE)
    agent.is_as_before()


# Replies that are cut off

RENEWAL, LOGIN = b"/auth/token/renew-self", b"/auth/aws/login"


def framings(reply: bytes) -> list[bytes]:
    """A whole reply as it came, its body in a chunk, and its body without a length, to the end of the connection. The
    last line break of the latter two is left out: they are whole without it.
    """
    head, _, body = reply.partition(b"\r\n\r\n")
    kept = b"\r\n".join(line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length"))
    chunked = kept + b"\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r"
    return [reply, chunked, kept + b"\r\nConnection: close\r\n\r\n" + body.rstrip()]


class Cuts:
    """Passes replies on until it has one of each kind; then sends so many bytes of that one in place of others."""

    def __init__(self) -> None:
        self.replies: dict[bytes, bytes] = {}
        self.waiting: dict[bytes, list[bytes]] = {RENEWAL: [], LOGIN: []}
        self._lock = threading.Lock()

    def __call__(self, client: socket.socket, request: bytes, answer: Callable[[], bytes]) -> None:
        kind = next((each for each in (RENEWAL, LOGIN) if each in request.split(b"\r\n")[0]), None)
        with self._lock:
            cut = self.waiting[kind].pop() if kind and self.waiting[kind] else None
        if cut is not None:
            client.sendall(cut)
            return
        reply = answer()
        if kind and b"HTTP/1.1 200" in reply:
            self.replies[kind] = reply
        client.sendall(reply)

    def begin(self, step: int) -> None:
        for kind, reply in self.replies.items():
            cuts = [whole[:end] for whole in framings(reply) for end in range(len(whole))]
            self.waiting[kind] = cuts[::step]


def test_a_reply_that_is_cut_off_at_any_byte_is_none(lab, tmp_path):
    """Each is a real one, of another token: that would be seen in two sinks."""
    proxy, cuts = lab.fault_proxy(), Cuts()
    proxy.set(cuts)
    names = [f"token-{number}" for number in range(24)]
    agent = AtWork(lab, tmp_path, others={name: {"vault": {"address": proxy.url}} for name in names})
    wait_until(lambda: len(cuts.replies) == 2, 20, "a login and a renewal")
    # A step that shares no factor with 2 or 5 meets each part of each reply.
    cuts.begin(1 if ALL else 31)
    sent = sum(map(len, cuts.waiting.values()))
    assert sent > 100
    ends = time.monotonic() + 240 * SLOWER
    while any(cuts.waiting.values()):
        agent.watched_for(0.2)
        held = list(filter(None, map(agent.read, names)))
        assert len(set(held)) == len(held), "one token in two sinks"
        assert time.monotonic() < ends, {kind: len(left) for kind, left in cuts.waiting.items()}
    agent.is_as_before()


# What IMDS calls the role

CROOKED = [
    "app\r\nX-Injected: yes",
    "app HTTP/1.1\r\nHost: elsewhere.example.com\r\n\r\nGET /",
    "../../user-data",
    "..",
    ".",
    "%2e%2e/%2e%2e/user-data",
    "app/../../../user-data",
    "/latest/user-data",
    "app?x=y",
    "app#fragment",
    "\x00app",
    "app\x7f\x1b[2J",
    "\u202eppa",
    "x" * 5_000,
    "",
    "\r\n",
]
ROLES = "/latest/meta-data/iam/security-credentials/"
OF_OTHERS = ("/latest/meta-data/placement/", "/latest/dynamic/instance-identity/")


class CrookedNames:
    """An IMDS that gives the role another name each time, as long as there are some; what it was asked after that."""

    def __init__(self) -> None:
        self.left = CROOKED.copy()
        self.requests: list[bytes] = []

    def __call__(self, client: socket.socket, request: bytes, answer: Callable[[], bytes]) -> None:
        self.requests.append(request)
        if request.startswith(f"GET {ROLES} ".encode()) and self.left:
            name = self.left.pop().encode()
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(name) + name)
        else:
            client.sendall(answer())


def test_a_roles_name_never_leads_out_of_its_path(lab, tmp_path):
    served = Served(lab, tmp_path)
    names = CrookedNames()
    served.proxies["imds"].set(names)
    served.expire_credentials()
    wait_until(lambda: not names.left, 40, "every name was told")
    served.agent.watched_for(1)
    for request in names.requests:
        line, *headers = request.split(b"\r\n")
        asked = re.fullmatch(rb"PUT /latest/api/token HTTP/1.1|GET (\S*/)([\w.~%-]*) HTTP/1.1", line)
        assert asked, line
        assert asked[1] in (None, *map(str.encode, (ROLES, *OF_OTHERS))) and asked[2] not in (b".", b".."), line
        assert not any(b"njected" in each or b"elsewhere" in each for each in headers)
    served.agent.is_as_before()


# Certificates


def test_a_server_whose_certificate_turns_bad_gets_nothing_more(lab, tmp_path):
    """One that was revoked is not told from others: nobody is asked, neither by OCSP nor for a list."""
    made, asked = lab.certificates, []
    responder = lab.web_server(lambda request: asked.append(request.target) or Reply(404))
    good = made.issue("good", made.loopback)
    bad = {
        "expired": made.issue("expired", made.loopback, days=-1),
        "elsewhere": made.wrong_name,
        "self-signed": made.self_signed("self-signed", made.loopback),
    }
    contexts = {name: context_of(good) for name in (*bad, "revoked")}
    listeners = {name: lab.front_door.listen(tls=context) for name, context in contexts.items()}
    others = {
        name: {"vault": {"address": listener.url, "tls": {"ca_cert": str(made.authority)}}}
        for name, listener in listeners.items()
    }
    agent = AtWork(lab, tmp_path, others=others)
    revoked = made.issue("revoked", made.loopback, says_status_at=responder.url)
    for name, pair in {**bad, "revoked": revoked}.items():
        contexts[name].load_cert_chain(pair.certificate, pair.key)
        listeners[name].drop_connections()
    for name in bad:
        agent.run.wait_for_log(f"failed token={name} .*certificate", 20)
    agent.watched_for(MAXIMUM + 2)
    assert not any(lab.bao.remaining(agent.read(name)) for name in bad)
    wait_until(lambda: lab.bao.remaining(agent.read("revoked")) is not None, 20, "a token of the revoked certificate")
    assert not asked
    for name in bad:
        contexts[name].load_cert_chain(good.certificate, good.key)
    agent.is_as_before()


def context_of(pair: KeyPair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context
