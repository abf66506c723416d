"""The shipped unit in a real systemd, with the laboratory around it."""

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from private_systemd import UNITS, NotPossibleHere, PrivateSystemd

from laboratory.agent import agent_binary
from laboratory.laboratory import REGION, SERVER_ID, Laboratory
from laboratory.secret_search import insist_on_none

CONFIGURATION = "/etc/vault-token-agent/config.json"
TOKEN = "/run/vault-token-agent/token"
READERS = "vault-token-readers"


class Service:
    """The agent as a unit: `machine` is the systemd it runs in, `configuration` what it is told."""

    def __init__(
        self,
        lab: Laboratory,
        folder: Path,
        *,
        unit: str = "vault-token-agent.service",
        binary: Path | None = None,
        files=(),
        dropins=(),
        **changes,
    ):
        self.lab = lab
        self.configuration: dict = {
            "vault": {"address": lab.front_door.url},
            "tokens": [
                {
                    "name": "app",
                    "auth": {"type": "iam", "role": "app", "header_value": SERVER_ID, "region": REGION},
                    "sinks": [{"type": "file", "path": TOKEN, "mode": "0640", "group": READERS}],
                }
            ],
            **changes,
        }
        configuration = folder / "config.json"
        configuration.write_text(json.dumps(self.configuration))
        # Where the laboratory's AWS is: the one thing that a drop-in adds to the shipped unit.
        surroundings = folder / "laboratory.conf"
        variables = "\n".join(f"Environment={shlex.quote(f'{k}={v}')}" for k, v in lab.environment().items())
        surroundings.write_text(f"[Service]\n{variables}\n")
        name = "app.json" if "@" in unit else "config.json"
        self.machine = PrivateSystemd(
            UNITS / unit,
            binary or agent_binary(),
            files=[
                (configuration, f"/etc/vault-token-agent/{name}", "0644"),
                (UNITS / "vault-token-agent.sysusers", "/usr/lib/sysusers.d/vault-token-agent.conf", "0644"),
                *files,
            ],
            dropins=[surroundings, *dropins],
        )
        made = self.machine.run("systemd-sysusers")
        assert made.ok, made.output

    def configure(self, **changes: object) -> None:
        self.configuration.update(changes)
        self.machine.write(CONFIGURATION, json.dumps(self.configuration))

    def start(self, seconds: float = 60) -> None:
        started = self.machine.systemctl("start", self.machine.unit, seconds=seconds)
        assert started.ok, f"{started.output}\n{self.machine.journal()}"

    def token(self) -> str:
        return self.machine.read(TOKEN)

    def is_valid(self, token: str) -> bool:
        return self.lab.bao.remaining(token) is not None

    def end(self) -> None:
        """Stops everything and searches the whole journal and the status file for secrets."""
        try:
            journal = self.machine.run("journalctl", "--no-pager", "--output=export").output
            places = {"the journal": journal.encode(), "status": self.machine.status_text().encode()}
            status = self.machine.root / "run/vault-token-agent/status.json"
            if status.exists():
                places["the status file"] = status.read_bytes()
        finally:
            self.machine.end()
        insist_on_none(places, self.lab.secrets())


Services = Callable[..., Service]


@pytest.fixture
def services(lab: Laboratory, tmp_path: Path) -> Iterator[Services]:
    """Makes services; each is stopped and its journal searched for secrets at the test's end."""
    lab.role("calm", ttl="10m", max_ttl="1h")
    made: list[Service] = []

    def make(laboratory: Laboratory = lab, **options: object) -> Service:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        try:
            made.append(Service(laboratory, folder, **options))
        except NotPossibleHere as reason:
            pytest.skip(f"no private systemd here: {reason}")
        return made[-1]

    yield make
    failure: BaseException | None = None
    for service in made:
        try:
            service.end()
        except BaseException as error:
            failure = failure or error
    if failure is not None:
        raise failure


@pytest.fixture
def calm(services: Services) -> Service:
    """A service whose token lasts ten minutes, not started."""
    service = services()
    service.configuration["tokens"][0]["auth"]["role"] = "calm"
    service.configure()
    return service
