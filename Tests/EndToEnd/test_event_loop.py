"""No disk and nobody who does not read holds up the event loop: strace sees that what may wait is done beside it."""

import json
import re
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from laboratory.processes import wait_until

CALLS = (
    "open,openat,creat,write,fsync,fdatasync,fallocate,ftruncate,rename,renameat,renameat2,link,linkat,unlink,unlinkat,"
    "mkdir,mkdirat,chmod,fchmod,fchmodat,chown,fchown,fchownat,utimensat,flock,sendto,sendmsg,recvfrom"
)
pytestmark = pytest.mark.long(40)

# The locks are taken once, before READY: nothing but the start waits then, for which systemd has its own limit.
# The name of a socket is taken away when that is closed, which is when it is dropped and at the stop.
REMAINING = re.compile(r'/lock>|/status\.json\.lock>|^\d+<[^>]*>, "socket"')


@dataclass
class Call:
    name: str
    # Arguments and result, as strace writes them.
    text: str
    # Those of the functions, the innermost first.
    frames: list[str] = field(default_factory=list)

    @property
    def is_on_the_loop(self) -> bool:
        """Its code has called it, whatever thread that is."""
        return any("EventLoop" in frame for frame in self.frames)

    @property
    def may_wait(self) -> bool:
        match self.name:
            case "recvfrom":
                return False
            case "open" | "openat":
                return re.search(r"O_WRONLY|O_RDWR|O_CREAT", self.text) is not None
            case "write":
                # To a file, other than the log: an agent's is the journal or a pipe, the laboratory's a file.
                return re.match(r"(?!2<)\d+</(?!dev/)", self.text) is not None
            case "sendto" | "sendmsg":
                # libcurl's never wait: their sockets are told not to.
                return "MSG_DONTWAIT" not in self.text and "<TCP" not in self.text
            case _:
                return True


def calls(trace: Path) -> Iterator[Call]:
    """Each call that has come to an end, with its functions."""
    begun: dict[str, str] = {}
    call: Call | None = None
    for line in trace.read_text(errors="replace").splitlines():
        if line.startswith(" > "):
            assert call
            call.frames.append(line)
            continue
        thread, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            begun[thread] = rest.removesuffix("<unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", rest):
            rest = begun.pop(thread) + resumed.group(1)
        if found := re.match(r"(\w+)\((.*)", rest):
            if call:
                yield call
            call = Call(found.group(1), found.group(2))
    if call:
        yield call


@pytest.fixture
def systemd(tmp_path):
    """STAND-IN for systemd's ear, which reads nothing: what it is told fills its queue, and stays there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        yield ear


def test_the_loop_waits_for_no_disk_and_for_nobody_who_does_not_read(lab, tmp_path, systemd):
    lab.role("restless", ttl="6s", max_ttl="10s")
    trace = tmp_path / "trace"
    lab.may_hold.add(trace)
    for name in ("state", "status", "metrics"):
        (tmp_path / name).mkdir()
    configuration = lab.configuration(tmp_path, role="restless")
    configuration["tokens"][0]["sinks"] += [
        {"type": "file", "path": str(tmp_path / "json"), "format": "json"},
        {"type": "socket", "path": str(tmp_path / "socket")},
    ]
    configuration["state_directory"] = str(tmp_path / "state")
    configuration["status_file"] = str(tmp_path / "status" / "status.json")
    configuration["metrics"] = {"textfile": str(tmp_path / "metrics" / "agent.prom")}
    run = lab.agent(
        folder=tmp_path,
        configuration=configuration,
        # A watchdog of 3 s: it beats each second.
        environment={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"},
        prefix=("strace", "-D", "-f", "-k", "-yy", "-s", "0", "-e", f"trace={CALLS}", "-o", str(trace)),
    )
    wait_until(lambda: run.log.count("Token written") >= 3 * 2, 60, "two tokens in each sink")
    configuration["status_file"] = str(tmp_path / "status" / "other.json")
    configuration["tokens"][0]["sinks"].pop(1)
    run.configuration.write_text(json.dumps(configuration))
    run.child.signal(signal.SIGHUP)
    run.wait_for_log("New configuration in force", 20)
    before = run.log.count("Token written")
    wait_until(lambda: run.log.count("Token written") >= before + 2 * 2, 60, "two more tokens in each sink")
    wait_until((tmp_path / "status" / "other.json").exists, 20, "the new status file")
    assert run.stop(20).status == 0

    seen = list(calls(trace))
    trace.unlink()
    # What strace shows can be told apart: the loop reads Vault's replies, and somebody else has files on disk.
    assert [call for call in seen if call.name == "recvfrom" and "<TCP" in call.text and call.is_on_the_loop]
    for kind, place in (("fsync", "/state/"), ("fsync", "/status/"), ("fsync", "/metrics/"), ("utimensat", "/status")):
        assert [call for call in seen if call.name == kind and place in call.text and call.frames], (kind, place)
    # The configuration may be on a share that does not answer.
    configured = [call for call in seen if call.name == "openat" and "/agent.json" in call.text and call.frames]
    assert len(configured) >= 2 and not [call for call in configured if call.is_on_the_loop]
    on_the_loop = [call for call in seen if call.is_on_the_loop and call.may_wait]
    remaining = [call for call in on_the_loop if not REMAINING.search(call.text)]
    assert not remaining, "\n".join("\n".join((f"{call.name}({call.text}", *call.frames)) for call in remaining[:3])
    assert len(on_the_loop) <= 4, [f"{call.name}({call.text}" for call in on_the_loop]
