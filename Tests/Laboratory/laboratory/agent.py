"""The agent under test: the built binary with a configuration, its output kept, and searched for secrets."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import places
from .processes import SLOWER, Child, LaboratoryError, wait_until
from .secret_search import SecretLeaked, insist_on_none, secrets_in

PROJECT = Path(__file__).resolve().parents[3]


def agent_binary() -> Path:
    """`VTA_BINARY`, else the debug build."""
    return Path(os.environ.get("VTA_BINARY") or PROJECT / ".build" / "debug" / "vault-token-agent").absolute()


# Where a build that counts what is executed puts its counters.
COUNTING = {name: os.environ[name] for name in ("LLVM_PROFILE_FILE",) if name in os.environ}
# For every agent. A debug build's Swift libraries bind their symbols when first called, by way of the stack, where
# copies of what was in the registers stay; the release has them linked in and is bound at start.
SURROUNDINGS = {"SWIFT_BACKTRACE": "enable=no", "LD_BIND_NOW": "1", **COUNTING}
# How a sanitizer's report begins; the agent may be built with one.
REPORT = re.compile(r"(ERROR|WARNING): \w+Sanitizer: .*")


def secret_files(configuration: Path) -> set[Path]:
    """Where secrets stand by a configuration: its sinks, the files with secrets that it names, kept nonces. None where
    it is no configuration.
    """
    try:
        read = json.loads(configuration.read_bytes())
        found = {Path(sink["path"]) for token in read["tokens"] for sink in token["sinks"]}
        # What a stop in the midst of a write leaves: with the sink's own rights, and the next start takes it away.
        found.update(*(sink.parent.glob(f".{sink.name}.vta-*") for sink in set(found)))
        for token in read["tokens"]:
            tls = token.get("vault", {}).get("tls", {}) | read.get("vault", {}).get("tls", {})
            named = [token.get("auth", {}).get("nonce_file"), tls.get("client_key_passphrase_file")]
            found.update(Path(path) for path in named if path)
        if read.get("state_directory"):
            found.update(Path(read["state_directory"]).glob("nonce-*"))
        return found
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return set()


@dataclass(frozen=True)
class Finished:
    """A command that has run to its end."""

    status: int
    output: str
    log: str


class AgentRun:
    """One process of the agent in a folder of its own: `agent.json`, `log`, `output`, by default the sink `token`."""

    def __init__(
        self,
        folder: Path,
        configuration: dict | str,
        *,
        environment: dict[str, str],
        secrets: Callable[[], set[str]],
        may_hold: set[Path],
        command: tuple[str, ...] = ("run",),
        prefix: tuple[str, ...] = (),
        prints_token: bool = False,
        traced: bool = False,
    ):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.sink = folder / "token"
        self.log_path = folder / "log"
        self.output_path = folder / "output"
        self._secrets = secrets
        self._given = set(environment.values())
        self._allowed = may_hold
        may_hold.add(self.sink)
        if prints_token:
            may_hold.add(self.output_path)
        may_hold.update(Path(value) for name, value in environment.items() if name.endswith("_FILE"))
        self._trace = folder / "trace" if traced else None
        if self._trace:
            may_hold.add(self._trace)
        self._searched = False
        self.configuration = folder / "agent.json"
        text = configuration if isinstance(configuration, str) else json.dumps(configuration, indent=2)
        self.configuration.write_text(text)
        self._allow()
        if self._trace:
            prefix = (*prefix, *places.STRACE, "-o", str(self._trace), "--")
        self.child = Child(
            [*prefix, agent_binary(), *command, "--config", self.configuration],
            environment={**SURROUNDINGS, "PATH": os.environ.get("PATH", ""), **environment},
            output=self.output_path,
            error=self.log_path,
            directory=folder,
        )
        self.started = self.child.started

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def output(self) -> str:
        return self.output_path.read_text(errors="replace")

    @property
    def status_file(self) -> dict:
        try:
            return json.loads((self.folder / "status.json").read_text())
        except (OSError, ValueError):
            return {}

    def token(self) -> str | None:
        """What an application would read; None: no file, or an empty one."""
        try:
            return self.sink.read_text().strip() or None
        except FileNotFoundError:
            return None

    def wait_for_token(self, seconds: float, other_than: str | None = None) -> str:
        """The token in the sink. Gives up after `seconds`, times `SLOWER`."""
        deadline = time.monotonic() + seconds * SLOWER
        while time.monotonic() < deadline:
            token = self.token()
            if token is not None and token != other_than:
                return token
            if not self.child.running:
                raise AssertionError(f"the agent ended with {self.child.wait(1)}:\n{self.log}")
            time.sleep(0.02)
        kind = "new token" if other_than else "token"
        raise AssertionError(f"no {kind} within {seconds * SLOWER:g} s; the log:\n{self.log}")

    def wait_for_log(self, pattern: str, seconds: float) -> str:
        """The first line of the log that matches. Gives up after `seconds`, times `SLOWER`."""
        deadline = time.monotonic() + seconds * SLOWER
        while True:
            found = re.search(rf"^.*(?:{pattern}).*$", self.log, re.MULTILINE)
            if found:
                return found.group(0)
            if time.monotonic() > deadline:
                raise AssertionError(f"nothing like {pattern!r} in the log within {seconds * SLOWER:g} s:\n{self.log}")
            time.sleep(0.05)

    def finish(self, seconds: float = 20) -> Finished:
        """Waits for a command that ends by itself."""
        try:
            status = self.child.wait(seconds)
        except LaboratoryError as error:
            self.child.stop()
            raise AssertionError(f"{error}; its log:\n{self.log}") from None
        self.search()
        return Finished(status, self.output, self.log)

    def stop(self, seconds: float = 10) -> Finished:
        """TERM, as systemd does; killed if it does not follow, which is an error."""
        if self.child.running:
            self.look()
            self.child.signal(signal.SIGTERM)
            try:
                self.child.wait(seconds)
            except LaboratoryError:
                self.child.stop(0.1)
                self.search()
                raise AssertionError(
                    f"the agent did not stop within {seconds * SLOWER:g} s of SIGTERM:\n{self.log}"
                ) from None
        return self.finish(1)

    def kill(self) -> None:
        self.look()
        self.child.process.kill()
        self.child.wait(5)

    def may_hold(self, *paths: Path) -> None:
        """Files and folders where a secret may stand: such as what an application writes that was given the token."""
        self._allowed.update(paths)

    def _allow(self) -> set[Path]:
        """Where a secret may stand: by the configuration, now and at earlier calls, and by what the test has said."""
        self._allowed |= secret_files(self.configuration)
        return self._allowed

    def look(self) -> None:
        """Searches what /proc shows of the living process for every secret but those that the test has given it."""
        secrets = {each for each in self._secrets() if not any(each in value for value in self._given)}
        for pid in places.running(agent_binary(), self.child.pid):
            insist_on_none(places.of_process(pid), secrets)

    def wait_until_forgotten(self, tokens: set[str], seconds: float) -> None:
        """Searches the memory of the process, stopped for that, until none of the tokens is in it: heap, stacks and
        variables. Gives up after `seconds`, times `SLOWER`. PermissionError: only root may look there.
        """

        def kept() -> list[str]:
            found = []
            for pid in places.running(agent_binary(), self.child.pid):
                os.kill(pid, signal.SIGSTOP)
                try:
                    held = places.memory(pid)
                finally:
                    os.kill(pid, signal.SIGCONT)
                found += secrets_in(held, tokens)
            return found

        try:
            wait_until(lambda: not kept(), seconds, "forgotten", interval=0.2)
        except LaboratoryError:
            raise SecretLeaked(f"in memory, though let go: {', '.join(kept())}; the log:\n{self.log}") from None

    def search(self) -> None:
        """Every secret that the laboratory knows, in everything that the agent has left besides its sinks: log, output,
        status, metrics, what is in its folder, temporary files and core dumps among it, and a trace of what it wrote.
        """
        if self._searched and not self.child.running:
            return
        self._searched = not self.child.running
        report = REPORT.search(self.log)
        assert not report, f"{report[0]}\n{self.log}"
        allowed = self._allow()
        found = places.files(self.folder, allowed)
        found["command line"] = " ".join(self.child.command).encode()
        if self._trace:
            found["what it has written"] = places.written(self._trace.read_bytes(), allowed)
        insist_on_none(found, self._secrets())


@dataclass(frozen=True)
class Poll:
    """What a reader of the sink found at one moment."""

    at: float
    token: str | None
    valid: bool
    remaining: float


class Reader(threading.Thread):
    """An application: reads the sink again and again and asks OpenBao whether that token is valid."""

    def __init__(self, run: AgentRun, remaining: Callable[[str], float | None], interval: float = 0.1):
        super().__init__(daemon=True)
        self._run_ = run
        self._remaining = remaining
        self._interval = interval
        self._ended = threading.Event()
        self.polls: list[Poll] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        due = time.monotonic()
        try:
            while not self._ended.is_set():
                token = self._run_.token()
                left = None if token is None else self._remaining(token)
                if left is None and token is not None and self._run_.token() != token:
                    continue  # replaced between reading and asking: an application would read again
                self.polls.append(Poll(time.monotonic(), token, left is not None, left or 0))
                due = max(due + self._interval, time.monotonic())
                self._ended.wait(max(0, due - time.monotonic()))
        except BaseException as error:
            self.failure = error

    def end(self) -> list[Poll]:
        self._ended.set()
        self.join(15 * SLOWER)
        if self.failure is not None:
            raise self.failure
        return self.polls

    def first_valid(self, after: float = 0) -> float | None:
        """When the token was valid for the first time since `after`."""
        return next((poll.at for poll in self.polls if poll.at >= after and poll.valid), None)


# What commands have written that `run_once` ran; the pytest plugin searches it after each test.
unsearched: list[Finished] = []


def run_once(
    arguments: list[str | Path], environment: dict[str, str], seconds: float = 20, *, prints_secrets: bool = False
) -> Finished:
    """A command of the agent that needs no folder: `version`, `--help`. `prints_secrets`: those are what it is for."""
    done = subprocess.run(
        [agent_binary(), *arguments],
        env={"PATH": os.environ.get("PATH", ""), "SWIFT_BACKTRACE": "enable=no", **COUNTING, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds * SLOWER,
    )
    finished = Finished(done.returncode, done.stdout, done.stderr)
    unsearched.append(Finished(done.returncode, "", done.stderr) if prints_secrets else finished)
    return finished
