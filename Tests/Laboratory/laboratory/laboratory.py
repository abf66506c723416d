"""The whole laboratory: everything an agent meets, on loopback, and the agents that run in it."""

import contextlib
import ssl
import tempfile
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from . import state
from .agent import AgentRun
from .aws import AWS, REGION, ROLE
from .aws_login import AwsRole
from .certificates import Certificates, InstanceIdentityKey, KeyPair
from .faults import FaultProxy
from .front_door import FrontDoor, Mount
from .metadata import ContainerCredentials, InstanceMetadata
from .openbao import OpenBao
from .processes import SLOWER
from .web import Answer, Reply, WebServer

SERVER_ID = "vault.example.com"


Guest = TypeVar("Guest", InstanceMetadata, ContainerCredentials, FaultProxy, WebServer)


@dataclass(frozen=True)
class Mark:
    """To where a laboratory can return."""

    guests: int
    state: state.State


class Laboratory:
    """A context manager; at its end, however it comes, all has stopped and its folder is gone.

    `tls`: OpenBao and the front door speak TLS by the laboratory's CA and ask for a client certificate.
    """

    def __init__(self, *, tls: bool = False):
        self._folder = tempfile.TemporaryDirectory(prefix="laboratory-")
        self.folder = Path(self._folder.name)
        self._ends = contextlib.ExitStack()
        self._guests: list[InstanceMetadata | ContainerCredentials | FaultProxy | WebServer] = []
        self._ends.callback(self._dismiss, 0)
        self._ends.callback(self._folder.cleanup)
        self.runs: list[AgentRun] = []
        self._extra_secrets: set[str] = set()
        self.may_hold: set[Path] = set()  # files and folders where secrets may stand: sinks, and what a test says
        self._metadata: list[InstanceMetadata] = []
        try:
            self._start(tls)
        except BaseException:
            self._ends.close()
            raise

    def _start(self, tls: bool) -> None:
        self.certificates = Certificates(self.folder / "certificates")
        self.identity = InstanceIdentityKey(self.folder / "certificates")
        self.bao = OpenBao(self.folder / "openbao", certificates=self.certificates if tls else None)
        self._ends.callback(self.bao.stop)
        self.aws = AWS(self.folder / "aws")
        self._ends.callback(self.aws.stop)
        self.imds = self.metadata()
        self.front_door = FrontDoor(self.bao, self.aws, self.identity)
        self._ends.callback(self.front_door.stop)
        if tls:
            self.tls_url = self.front_door.listen(tls=self.server_tls(self.certificates.server)).url
            self.wrong_name_url = self.front_door.listen(tls=self.server_tls(self.certificates.wrong_name)).url
        self.mount: Mount = self.front_door.mount(server_id=SERVER_ID)
        self.role("app", ttl="20s", max_ttl="60s")
        self.beginning = self.mark()

    def __enter__(self) -> "Laboratory":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        try:
            self.end_runs()
        finally:
            self._ends.close()

    def end_runs(self) -> None:
        """Stops every agent that still runs and searches what each has written for secrets."""
        runs, self.runs = self.runs, []
        with contextlib.ExitStack() as stack:
            for run in runs:
                stack.callback(run.search)
                stack.callback(run.child.stop)
                stack.callback(run.look)

    def server_tls(self, pair: KeyPair) -> ssl.SSLContext:
        """What a listener of the front door needs to show this certificate and to ask for a client's."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        context.load_verify_locations(self.certificates.authority)
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["http/1.1"])
        return context

    def metadata(self, **options: object) -> InstanceMetadata:
        """An instance metadata service of its own, for a test that disturbs it."""
        made = InstanceMetadata(self.aws, self.identity, **options)  # type: ignore[arg-type]
        self._metadata.append(made)
        return self._guest(made)

    def fault_proxy(self, server: str | None = None) -> FaultProxy:
        """A controllable fault between one agent and the front door, or a server with another URL."""
        return self._guest(FaultProxy(urllib.parse.urlsplit(server or self.front_door.url).port or 0))

    def container_credentials(self) -> ContainerCredentials:
        """The endpoint of ECS and EKS, for whoever asks."""
        return self._guest(ContainerCredentials(self.aws))

    def web_server(self, answer: Answer) -> WebServer:
        return self._guest(WebServer(answer))

    def follower(self, leader: str) -> WebServer:
        """A member of a cluster that is not its leader: it answers everything with 307 to the leader."""
        return self.web_server(lambda request: Reply(307, b"", [("Location", leader + request.target)]))

    def _guest(self, made: Guest) -> Guest:
        """Made for one test or file, and stopped after it."""
        self._guests.append(made)
        return made

    @property
    def parts(self) -> set[int]:
        """The ids of the processes that it consists of."""
        return {self.bao.pid, self.aws.pid}

    def mark(self) -> Mark:
        return Mark(len(self._guests), state.read(self))

    def return_to(self, mark: Mark) -> None:
        """Ends what runs and was made since, and puts back what was changed. AssertionError: what could not be."""
        with contextlib.ExitStack() as stack:
            stack.callback(state.put_back, self, mark.state)
            stack.callback(self._dismiss, mark.guests)
            stack.callback(self.end_runs)

    def _dismiss(self, kept: int) -> None:
        while len(self._guests) > kept:
            self._guests.pop().stop()

    def role(self, name: str, who: AwsRole | None = None, *, mount: Mount | None = None, **token: object) -> None:
        """A role for the laboratory's AWS role, or for whom `who` says."""
        bound = AwsRole(bound_principals=[f"arn:aws:iam::{self.aws.account}:role/{ROLE}"])
        (mount or self.mount).role(name, who or bound, **token)

    def keep_secret(self, *secrets: str) -> None:
        """More that must not appear in anything an agent writes."""
        self._extra_secrets.update(secrets)

    def secrets(self) -> set[str]:
        """Every secret and token that was used so far."""
        found = self._extra_secrets | self.aws.secrets | self.front_door.secrets | {self.bao.root_token}
        for service in self._metadata:
            found |= service.secrets
        return found

    def configuration(self, folder: Path, *, address: str | list[str] | None = None, role: str | None = "app") -> dict:
        """A configuration for this laboratory: one token by an iam login, one file. Tests change what they need."""
        self.may_hold.add(folder / "token")
        auth: dict = {"type": "iam", "header_value": SERVER_ID, "region": REGION}
        if role is not None:
            auth["role"] = role
        return {
            "vault": {"address": address or self.front_door.url},
            "tokens": [
                {"name": "app", "auth": auth, "sinks": [{"type": "file", "path": str(folder / "token")}]},
            ],
            "log": {"format": "text"},
            "status_file": str(folder / "status.json"),
        }

    def environment(self, imds: InstanceMetadata | None = None) -> dict[str, str]:
        """What the agent's environment says: where AWS is. No credentials: those come from IMDS."""
        return {
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": (imds or self.imds).url,
            # AWS's own second is short for a busy machine.
            "AWS_METADATA_SERVICE_TIMEOUT": str(SLOWER),
            "AWS_ENDPOINT_URL_STS": self.aws.sts_url,
            "AWS_CONFIG_FILE": "/nonexistent/config",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
        }

    def agent(
        self,
        *,
        folder: Path | None = None,
        configuration: dict | str | None = None,
        environment: dict[str, str] | None = None,
        command: tuple[str, ...] = ("run",),
        prefix: tuple[str, ...] = (),
        prints_token: bool = False,
        traced: bool = False,
        **options: object,
    ) -> AgentRun:
        """Starts the agent. `options` go to `configuration()`; `environment` stands above the laboratory's; `prefix` is
        a program, with its arguments, that ends by becoming the agent. `traced`: what it writes is searched for secrets
        by way of strace, which makes it slow.
        """
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="agent-", dir=self.folder))
        if configuration is None:
            configuration = self.configuration(folder, **options)  # type: ignore[arg-type]
        run = AgentRun(
            folder,
            configuration,
            environment={**self.environment(), **(environment or {})},
            secrets=self.secrets,
            may_hold=self.may_hold,
            command=command,
            prefix=prefix,
            prints_token=prints_token,
            traced=traced,
        )
        self.runs.append(run)
        return run

    def logins(self, since: float = 0) -> int:
        return self.front_door.count(since=since, path_ends="/login")
