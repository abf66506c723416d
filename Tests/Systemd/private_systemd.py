"""A real systemd for the tests: run-systemd.sh boots it, this drives it and hands out what it says."""

import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from laboratory.processes import SLOWER

HERE = Path(__file__).resolve().parent
UNITS = HERE.parents[1] / "deploy" / "systemd"
# run-systemd.sh's word for: not on this machine.
IMPOSSIBLE = 77


class NotPossibleHere(Exception):
    """No root, no cgroup2, no namespaces: nothing that a test could mend."""


@dataclass(frozen=True)
class Outcome:
    """A command run inside."""

    status: int
    output: str

    @property
    def ok(self) -> bool:
        return self.status == 0


class PrivateSystemd:
    """One boot of systemd with one unit of the project's, unmodified, its files and drop-ins. A context manager."""

    def __init__(
        self,
        unit: Path,
        binary: Path,
        *,
        files: Iterable[tuple[Path, str, str]] = (),
        dropins: Iterable[Path] = (),
        bind: Iterable[Path] = (),
        own: Iterable[Path] = (),
        at: str | None = None,
        limit: int = 900,
    ):
        """`at`: where the binary goes, if not where the unit says. `own`: directories as they are here; what is written
        there goes with the machine."""
        command: list[str | Path] = [HERE / "run-systemd.sh", "--timeout", str(limit)]
        for source, destination, mode in files:
            command += ["--file", f"{source}:{destination}:{mode}"]
        if at is not None:
            command += ["--at", at]
        for dropin in dropins:
            command += ["--dropin", dropin]
        for path in bind:
            command += ["--bind-ro", str(path)]
        for path in own:
            command += ["--own", str(path)]
        # The hook tells where things are and waits until its standard input ends.
        hook = ["sh", "-c", 'printf "%s\\n" "$IN" "$UNIT" "$ROOT"; cat >/dev/null']
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed by end()
        self._process = subprocess.Popen(
            [*command, unit, binary, "--", *hook],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        lines = [self._process.stdout.readline().strip() for _ in range(3)]
        if not all(lines):
            status = self._process.wait(30 * SLOWER)
            self._log.seek(0)
            said = self._log.read().decode(errors="replace")
            raise NotPossibleHere(said) if status == IMPOSSIBLE else AssertionError(f"status {status}: {said}")
        self._inside, self.unit, root = lines
        self.root = Path(root)

    def __enter__(self) -> "PrivateSystemd":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(30 * SLOWER)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait(30)
        self._process.stdout.close()
        self._log.close()

    def run(self, *command: str, seconds: float = 60) -> Outcome:
        done = subprocess.run(
            [self._inside, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds * SLOWER,
            check=False,
        )
        return Outcome(done.returncode, done.stdout)

    def systemctl(self, *arguments: str, seconds: float = 60) -> Outcome:
        return self.run("systemctl", *arguments, seconds=seconds)

    def begin(self, *arguments: str) -> "Background":
        """`systemctl` with these arguments, not waited for."""
        return Background([self._inside, "systemctl", *arguments])

    def show(self, *properties: str) -> dict[str, str]:
        """Properties of the unit as systemd has them now."""
        text = self.systemctl("show", self.unit, *(f"--property={name}" for name in properties)).output
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def status_text(self) -> str:
        return self.show("StatusText").get("StatusText", "")

    def journal(self, *arguments: str) -> str:
        return self.run("journalctl", "--no-pager", f"--unit={self.unit}", *(arguments or ("--output=cat",))).output

    def wait_until(self, true: Callable[[], bool], what: str, seconds: float) -> float:
        """How long it took until `true`; fails with status and journal after `seconds`, times `SLOWER`."""
        began = time.monotonic()
        while not true():
            if time.monotonic() - began > seconds * SLOWER:
                state = self.systemctl("status", "--full", "--lines=0", self.unit).output
                raise AssertionError(f"not {what} within {seconds * SLOWER:g} s\n{state}\n{self.journal()}")
            time.sleep(0.1)
        return time.monotonic() - began

    def read(self, path: str) -> str:
        """A file as root inside sees it."""
        return (self.root / path.lstrip("/")).read_text()

    def write(self, path: str, text: str) -> None:
        """Replaces a file's content as an editor does: a new file with the old one's mode, renamed over it."""
        target = self.root / path.lstrip("/")
        new = target.with_name(target.name + ".new")
        new.write_text(text)
        new.chmod(target.stat().st_mode & 0o7777)
        new.rename(target)

    def process(self) -> int:
        """The main process's number as this machine has it."""
        inside = int(self.show("MainPID")["MainPID"])
        for entry in Path("/proc").glob("[0-9]*/status"):
            try:
                numbers = next(line for line in entry.read_text().splitlines() if line.startswith("NSpid:")).split()
                same = (entry.parent / "ns/pid").readlink() == (self.root.parent / "ns/pid").readlink()
            except (OSError, StopIteration):
                continue
            if same and int(numbers[-1]) == inside:
                return int(numbers[1])
        raise AssertionError(f"no process {inside} inside")


class Background(threading.Thread):
    """A command under way."""

    def __init__(self, command: list[str]):
        super().__init__(daemon=True)
        self._command = command
        self.began = time.monotonic()
        self.took: float | None = None
        self.outcome: Outcome | None = None
        self.start()

    def run(self) -> None:
        done = subprocess.run(self._command, capture_output=True, text=True, check=False)
        self.took = time.monotonic() - self.began
        self.outcome = Outcome(done.returncode, done.stdout + done.stderr)

    def wait(self, seconds: float) -> Outcome:
        self.join(seconds * SLOWER)
        assert self.outcome is not None, f"{self._command} not done after {seconds * SLOWER:g} s"
        return self.outcome
