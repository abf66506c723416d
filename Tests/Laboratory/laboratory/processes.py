"""Child processes that end when they are told to, and when this process dies, however it dies."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

# How many times slower than the machine on which the tests' limits were found another may be: an older one, a busy one.
# A limit only ends a wait that would not end otherwise, so a test that passes takes no longer for it.
SLOWER = 4


class LaboratoryError(Exception):
    """Something in the laboratory itself failed: not a finding about the agent."""


# Names that say which ports this process has given out. They go with the process.
_given: list[socket.socket] = []


def free_port() -> int:
    """A free TCP port, below the range that the kernel hands out to outgoing connections. While this process lives no
    other of the tests is given it: a server may take its time to listen there.
    """
    for _ in range(200):
        port = random.SystemRandom().randrange(20_000, 32_000)
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0vault-token-agent-tests-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _given.append(claim)
        return port
    raise LaboratoryError("no free port between 20000 and 32000 in 200 tries")


def unshared(*namespaces: str) -> tuple[str, ...]:
    """How a command begins that runs in namespaces of its own: `unshared("--net")`. Root needs no user namespace for
    that, which a chroot would forbid.
    """
    return ("unshare", *(() if os.geteuid() == 0 else ("--map-root-user",)), *namespaces)


def wait_until(
    ready: Callable[[], object], seconds: float, what: str | Callable[[], str], interval: float = 0.02
) -> float:
    """Waits until `ready()` and returns how long that took, in seconds. Gives up after `seconds`, times `SLOWER`, and
    says `what` was waited for, or what there is instead, such as a log.
    """
    started = time.monotonic()
    while not ready():
        if time.monotonic() - started > seconds * SLOWER:
            raise LaboratoryError(f"not within {seconds * SLOWER:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(interval)
    return time.monotonic() - started


def children() -> dict[int, str]:
    """The processes that this one has started and that still run, by their ids, and what each was started as."""
    found = {}
    for listed in Path("/proc/self/task").glob("*/children"):
        pids = []
        with contextlib.suppress(OSError):  # the thread has ended: what it started is another's now
            pids = listed.read_text().split()
        for pid in map(int, pids):
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                if command:  # a zombie has none
                    found[pid] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


class Child:
    """One child process, its output in a file. Start it from a thread that lives as long as the child is wanted."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        environment: dict[str, str],
        output: Path,
        error: Path | None = None,
        directory: Path | None = None,
    ):
        # setpriv asks the kernel to kill the child when the thread that started it ends, then becomes the child.
        # A session of its own keeps the terminal's Ctrl-C away from it: whoever started it stops it, in order.
        self.command = [str(part) for part in command]
        with output.open("ab") as out, (error or output).open("ab") as err:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                cwd=directory,
                start_new_session=True,
            )
        self.started = time.monotonic()
        self.output = output

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        if self.running:
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> int:
        """The exit status; negative for a signal. Gives up after `seconds`, times `SLOWER`."""
        try:
            return self.process.wait(seconds * SLOWER)
        except subprocess.TimeoutExpired:
            name = Path(self.command[0]).name
            raise LaboratoryError(f"{name} still runs after {seconds * SLOWER:g} s") from None

    def stop(self, seconds: float = 5) -> int:
        """TERM, then KILL after `seconds`. Returns the exit status."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(seconds)

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])
