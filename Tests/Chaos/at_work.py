"""An agent whose tokens never last long, and what must hold of it while and after something is done to it."""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import time
from collections import Counter
from pathlib import Path

from laboratory.aws import USER
from laboratory.aws_login import AwsRole
from laboratory.figures import figures
from laboratory.laboratory import Laboratory
from laboratory.processes import SLOWER, wait_until

# Seconds of a token: long enough for a machine that pauses, so short that renewals and logins meet whatever is done.
LEASE, MAXIMUM = 6, 10
WHOLE = re.compile(r"s\.\w{24}\n?")
# Connections that are kept for the next request, beside those of the start.
KEPT_CONNECTIONS = 4
# So many of the tokens before the present one are looked for in its memory, the last: each takes a while.
FORGOTTEN = 6
# Bytes of anonymous memory that an agent may keep of what happened to it.
KEPT_MEMORY = 6 << 20


def token_of(document: str) -> str:
    return json.loads(document)["token"] if document else ""


class AtWork:
    """A token in a file, a document and a socket; a state directory, a status file and a file of metrics.

    `others`: what further tokens have otherwise, each by its name and with a file of that name.
    """

    def __init__(
        self,
        lab: Laboratory,
        folder: Path,
        *,
        address: str | None = None,
        environment: dict[str, str] | None = None,
        others: dict[str, dict] | None = None,
        prefix: tuple[str, ...] = (),
    ):
        bound = [f"arn:aws:iam::{lab.aws.account}:user/{USER}", *lab.aws.role_arns.values()]
        lab.role("chaos", AwsRole(bound_principals=bound), ttl=f"{LEASE}s", max_ttl=f"{MAXIMUM}s")
        self._lab = lab
        self._others = list(others or {})
        self._earlier = len(lab.front_door.tokens)
        self.places = folder / "places"
        self.places.mkdir()
        self.state = folder / "state"
        self.state.mkdir(mode=0o700)
        configuration = lab.configuration(folder, role="chaos", address=address or lab.front_door.url)
        token = configuration["tokens"][0]
        for name, other in (others or {}).items():
            file = {"type": "file", "path": str(self.places / name)}
            made = token | other | {"name": name, "auth": token["auth"] | other.get("auth", {}), "sinks": [file]}
            configuration["tokens"].append(made)
        token["sinks"] = [
            {"type": "file", "path": str(self.places / "token")},
            {"type": "file", "path": str(self.places / "document"), "format": "json"},
            {"type": "socket", "path": str(self.places / "socket"), "mode": "0600"},
        ]
        token["on_change"] = {"command": ["/bin/sh", "-c", "echo changed"]}
        configuration |= {
            "state_directory": str(self.state),
            "metrics": {"textfile": str(folder / "metrics.prom")},
        }
        self.run = lab.agent(folder=folder, configuration=configuration, environment=environment, prefix=prefix)
        self.run.sink = self.places / "token"
        self.run.wait_for_token(20)
        wait_until(self._is_well, 20, "ready")
        # By then each kind of connection has been opened once.
        self.run.wait_for_log("Token renewed", 20)
        self._descriptors = self._kinds()
        self._anonymous = figures(self.pid).anonymous

    @property
    def pid(self) -> int:
        return self.run.child.pid

    def watched_for(self, seconds: float) -> None:
        """Readers go on meanwhile: what they find is whole, or nothing."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self.look()
            time.sleep(0.02)

    def look(self) -> None:
        assert self.run.child.running, f"ended with {self.run.child.wait(1)}:\n{self.run.log}"
        for text in (token_of(self.read("document")), *map(self.read, ("token", *self._others))):
            assert not text or WHOLE.fullmatch(text), f"{len(text)} bytes that are no token"

    def is_well(self) -> None:
        wait_until(self._is_well, 30, "a valid token in every sink, and ready")

    def is_as_before(self) -> None:
        """Alive, its token valid in each sink, ready; what it holds is what it held before; it ends as it should."""
        self.is_well()
        wait_until(lambda: self._surplus() == Counter(), 20, f"descriptors as before, not {self._surplus()} more")
        grown = figures(self.pid).anonymous - self._anonymous
        assert grown < KEPT_MEMORY, f"{grown} bytes more than before"
        self._is_calm()
        self._has_forgotten()
        assert self.run.stop().status == 0
        unfinished = [each for folder in (self.places, self.state) for each in folder.glob(".*.vta-*")]
        assert not unfinished, unfinished

    def _is_calm(self) -> None:
        """What is left to do takes little CPU."""
        before, began = figures(self.pid).cpu_seconds, time.monotonic()
        time.sleep(2)
        share = (figures(self.pid).cpu_seconds - before) / (time.monotonic() - began)
        assert share < 0.2, f"{share:.0%} of a CPU at rest"

    def _has_forgotten(self) -> None:
        """What its memory holds of tokens are the present ones."""
        if os.geteuid() != 0:  # the kernel shows it to nobody else
            return
        held = set(map(self.read, ("token", *self._others)))
        former = [token for token in self._lab.front_door.tokens[self._earlier :] if token not in held]
        self.run.wait_until_forgotten(set(former[-FORGOTTEN:]), 20)

    def _is_well(self) -> bool:
        assert self.run.child.running, f"ended with {self.run.child.wait(1)}:\n{self.run.log}"
        token, document = self.read("token"), self.read("document")
        if not token or not document or not self.run.status_file.get("ready"):
            return False
        try:
            found = {token.strip(), token_of(document), self._served()}
        except ValueError:  # another's file still, that was put there
            return False
        return len(found) == 1 and all(map(self._is_valid, (*found, *map(self.read, self._others))))

    def _is_valid(self, token: str) -> bool:
        return bool(token) and self._lab.bao.remaining(token) is not None

    def read(self, name: str) -> str:
        """What stands there first; nothing where it is no file: a pipe would be waited for."""
        try:
            place = os.open(self.places / name, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return ""
        with os.fdopen(place, "rb") as file:
            return file.read(4096).decode() if stat.S_ISREG(os.fstat(place).st_mode) else ""

    def _served(self) -> str:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(5 * SLOWER)
                client.connect(str(self.places / "socket"))
                return client.makefile().read().strip()
        except OSError:
            return ""

    def _kinds(self) -> Counter[str]:
        """How many descriptors of each kind it has: numbers and inodes differ from one moment to the next."""
        kinds: Counter[str] = Counter()
        for each in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                kinds[re.sub(r":\[\d+\]$", "", os.readlink(each))] += 1
        return kinds

    def _surplus(self) -> Counter[str]:
        more = self._kinds() - self._descriptors
        more["socket"] -= KEPT_CONNECTIONS
        # OpenSSL's own source of random numbers, where the kernel's call failed it once.
        more["/dev/urandom"] -= 1
        return +more

    def signal(self, number: signal.Signals) -> None:
        self.run.child.signal(number)
