"""Starts a program over and over and kills it with SIGKILL at random moments of its life, found by what it does in a
directory. Run as a program, in a process of its own: what it waits for lasts a millisecond.
"""

import ctypes
import json
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

MOMENTS = ("start", "trial", "login", "write", "idle")
PATIENCE = 120.0
CREATED, DELETED, MOVED = 0x100, 0x200, 0x80  # inotify


@dataclass(frozen=True)
class Kill:
    """One kill and what was found after it."""

    moment: str
    text: str | None  # the file's content; None: no file
    left: list[str]  # other names in the file's directory
    unswept: list[str]  # names that earlier processes had left, and that this one left when it went to work
    swept: int  # names that it removed


class Killer:
    """Kills `command`, which writes a new content to `file` at each start, so many times. Equal seeds, equal plans."""

    def __init__(self, command: list[str | Path], file: Path, log: Path, *, kills: int, seed: int, environment: dict):
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(kills), str(seed), str(file), *map(str, command)],
                stdout=subprocess.PIPE,
                stderr=output,
                env=environment,
                text=True,
            )

    def kills(self, seconds: float) -> list[Kill]:
        output, _ = self._process.communicate(timeout=seconds)
        assert self._process.returncode == 0, f"the killer ended with {self._process.returncode}"
        return [Kill(**json.loads(line)) for line in output.splitlines()]

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


class _Directory:
    """What happens in a directory, in order, by inotify: what a program does there may be over in a millisecond."""

    def __init__(self, path: str):
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_CLOEXEC)
        if (
            self._descriptor < 0
            or libc.inotify_add_watch(self._descriptor, path.encode(), CREATED | DELETED | MOVED) < 0
        ):
            raise OSError(ctypes.get_errno(), "inotify")
        self._events: list[tuple[int, str]] = []

    def close(self) -> None:
        os.close(self._descriptor)

    def wait(self, event: int, seconds: float) -> str:
        """The name of the next event of this kind."""
        deadline = time.monotonic() + seconds
        while True:
            while self._events:
                mask, name = self._events.pop(0)
                if mask & event:
                    return name
            if not select.select([self._descriptor], [], [], deadline - time.monotonic())[0]:
                raise SystemExit(f"nothing happened within {seconds:g} s")
            data = os.read(self._descriptor, 65_536)
            while data:
                _, mask, _, length = struct.unpack_from("iIII", data)
                self._events.append((mask, data[16 : 16 + length].rstrip(b"\0").decode()))
                data = data[16 + length :]


class _Life:
    """One process, and the stages of its life as its directory shows them."""

    def __init__(self, command: list[str], file: str):
        self._directory, self._name = os.path.split(file)
        self._events = _Directory(self._directory)
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    def others(self) -> set[str]:
        return set(os.listdir(self._directory)) - {self._name}

    def reach(self, moment: str, chance: random.Random, old: set[str]) -> set[str]:
        """Waits for a random moment of this kind. `old`: what earlier lives left in the directory; returns what of it
        was there still when this one went to work.
        """
        if moment == "start":
            time.sleep(chance.uniform(0, 0.1))
            return set()
        self._events.wait(CREATED, PATIENCE)  # the trial of the sink
        unswept = old & self.others()
        if moment == "trial":
            time.sleep(chance.uniform(0, 0.002))
            return unswept
        self._events.wait(DELETED, PATIENCE)
        if moment == "login":
            time.sleep(chance.uniform(0, 0.1))
            return unswept
        self._events.wait(CREATED, PATIENCE)
        if moment == "write":
            time.sleep(chance.uniform(0, 0.002))
            return unswept
        while self._events.wait(MOVED, PATIENCE) != self._name:
            pass
        time.sleep(chance.uniform(0, 0.1))
        return unswept | self.others()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._events.close()


def _run(kills: int, seed: int, file: str, command: list[str]) -> None:
    chance = random.Random(seed)
    old: set[str] = set()
    for number in range(kills):
        life = _Life(command, file)
        moment = chance.choice(MOMENTS) if number < kills - 1 else "idle"
        unswept = life.reach(moment, chance, old)
        life.kill()
        left = sorted(life.others())
        try:
            text = Path(file).read_text()
        except FileNotFoundError:
            text = None
        kill = Kill(moment, text, left, sorted(unswept), len(old.difference(left)))
        print(json.dumps(asdict(kill)), flush=True)
        old = set(left)


if __name__ == "__main__":
    _run(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
