"""The containers as task definition and Deployment describe them, run by crun: user, environment, mounts, probes.

The image is a stand-in: this machine's own libraries, read-only, with the agent's program among them. Everything else
is taken from the definitions; AWS and Vault are the laboratory's.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from laboratory.agent import PROJECT, agent_binary
from laboratory.config_map import ConfigMap
from laboratory.faults import Fault
from laboratory.laboratory import REGION, Laboratory

TASK = json.loads((PROJECT / "deploy" / "ecs" / "task-definition.json").read_text())
BASE = PROJECT / "deploy" / "kubernetes" / "base"
POD = yaml.safe_load((BASE / "deployment.yaml").read_text())["spec"]["template"]["spec"]
PLACEHOLDER = "https://vault.example.com:8200"
TOKEN = "/run/vault-token-agent/token"
# crun wants one hierarchy of cgroups; a mount namespace of its own gives it one, whatever the machine has.
PRIVATE = ("unshare", "--mount", "sh", "-euc", 'mount -n -t cgroup2 cgroup2 /sys/fs/cgroup; exec "$@"', "-")
CRUN = (*PRIVATE, "crun", "--cgroup-manager=disabled")

Mounts = list[tuple[Path, str, bool]]


def possible() -> bool:
    if os.geteuid() != 0 or shutil.which("crun") is None:
        return False
    return subprocess.run([*PRIVATE, "true"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not possible(), reason="no root, no crun or no namespaces of one's own")


class Container:
    """One container; `volumes` are the host's directories with where they are mounted and whether only to be read."""

    def __init__(self, folder: Path, arguments: list[str], user: dict, environment: dict[str, str], volumes: Mounts):
        self.folder, self.name = folder, folder.name
        program = folder / "image" / "bin" / "vault-token-agent"
        program.parent.mkdir(parents=True)
        shutil.copy(agent_binary(), program)
        root = folder / "rootfs"
        for name in ("usr", "opt", "proc", "dev", "etc/ssl", *(at.lstrip("/") for _, at, _ in volumes)):
            (root / name).mkdir(parents=True, exist_ok=True)
        for name in ("lib", "lib64", "bin"):
            (root / name).symlink_to(f"usr/{name}")
        (root / "etc/ld.so.cache").touch()
        mounts = [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755", "nosuid"]},
            {
                "destination": "/usr",
                "type": "overlay",
                "source": "overlay",
                "options": [f"lowerdir={folder / 'image'}:/usr"],
            },
        ]
        shared = [(Path(path), path, True) for path in ("/opt", "/etc/ssl", "/etc/ld.so.cache")]
        for source, at, read_only in [*shared, *volumes]:
            options = ["rbind", "ro" if read_only else "rw"]
            mounts.append({"destination": at, "type": "bind", "source": str(source), "options": options})
        variables = {"PATH": "/usr/bin", "SWIFT_BACKTRACE": "enable=no", **environment}
        process = {
            "user": user,
            "args": ["/usr/bin/vault-token-agent", *arguments] if arguments[0] != "/bin/sh" else arguments,
            "cwd": "/",
            "env": [f"{key}={value}" for key, value in variables.items()],
            "capabilities": {},
            "noNewPrivileges": True,
        }
        bundle = {
            "ociVersion": "1.0.0",
            "process": process,
            "root": {"path": "rootfs", "readonly": True},
            "mounts": mounts,
            "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "ipc"}]},
        }
        (folder / "config.json").write_text(json.dumps(bundle))
        self._state = ("--root", str(folder / "state"))
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*CRUN, *self._state, "run", "--bundle", folder, self.name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def probe(self, command: list[str]) -> int:
        """The exit status of a health check in the container; 255 while there is none to run it in."""
        command = [*CRUN, *self._state, "exec", self.name, *command]
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode

    def signal(self, name: str) -> None:
        subprocess.run([*CRUN, *self._state, "kill", self.name, name], capture_output=True, timeout=60, check=True)

    def end(self) -> int:
        if self.process.poll() is None:
            self.signal("KILL")
        status = self.process.wait(30)
        subprocess.run([*CRUN, *self._state, "delete", "--force", self.name], capture_output=True, check=False)
        return status


def until(true: Callable[[], bool], container: Container, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, container.log
        time.sleep(0.2)


def read_by(folder: Path, user: dict, volumes: Mounts) -> str:
    """The token as the application's container reads it."""
    reader = Container(folder, ["/bin/sh", "-c", f"cat {TOKEN}"], user, {}, volumes)
    assert reader.process.wait(30) == 0, reader.log
    reader.end()
    return reader.log


def test_an_ecs_task_is_healthy_once_it_has_its_token_and_stays_so_through_an_outage(lab: Laboratory, tmp_path: Path):
    vault = lab.fault_proxy()
    agent, application = TASK["containerDefinitions"]
    identifiers = dict(zip(("uid", "gid"), map(int, agent["user"].split(":")), strict=True))
    volumes: Mounts = []
    for mount in agent["mountPoints"]:
        # As the image's VOLUME has it.
        directory = tmp_path / mount["sourceVolume"]
        directory.mkdir(mode=0o755)
        os.chown(directory, 10001, 10001)
        volumes.append((directory, mount["containerPath"], False))
    (variable,) = agent["environment"]
    environment = {
        **lab.environment(),
        "AWS_REGION": REGION,
        variable["name"]: variable["value"].replace(PLACEHOLDER, vault.url),
    }
    health = agent["healthCheck"]["command"][1:]
    vault.set(Fault.REFUSE)
    first = Container(tmp_path / "first", agent["command"], identifiers, environment, volumes)
    try:
        until((tmp_path / "vault-token" / "status.json").exists, first)
        assert first.probe(health) == 1  # the application waits
        vault.set(Fault.NONE)
        until(lambda: first.probe(health) == 0, first)
        user = dict(zip(("uid", "gid"), map(int, application["user"].split(":")), strict=True))
        shared = [(tmp_path / "vault-token", application["mountPoints"][0]["containerPath"], True)]
        assert lab.bao.remaining(read_by(tmp_path / "application", user, shared)) is not None

        vault.set(Fault.REFUSE)
        until(lambda: first.probe([health[0], "healthcheck"]) == 1, first, 60)  # the token has run out
        assert first.probe(health) == 0
    finally:
        first.end()
    # The restart policy starts the container anew, beside the same volumes, while Vault is still away.
    second = Container(tmp_path / "second", agent["command"], identifiers, environment, volumes)
    try:
        until(lambda: second.probe([health[0], "healthcheck", "--liveness"]) == 0, second)
        until(lambda: second.probe(health) == 0, second)
    finally:
        second.end()


def test_a_pod_of_eks_hands_its_token_on_takes_it_over_after_a_restart_and_loads_a_changed_map(
    lab: Laboratory, tmp_path: Path
):
    lab.role("app", ttl="10m", max_ttl="1h")
    sidecar, application = POD["initContainers"][0], POD["containers"][0]
    group = POD["securityContext"]["fsGroup"]

    def user(container: dict) -> dict:
        context = container["securityContext"]
        return {"uid": context["runAsUser"], "gid": context["runAsGroup"], "additionalGids": [group]}

    places = {}
    for volume in POD["volumes"]:
        # As the kubelet makes an emptyDir for a pod with fsGroup.
        directory = tmp_path / volume["name"]
        directory.mkdir()
        os.chown(directory, 0, group)
        directory.chmod(0o2777)
        places[volume["name"]] = directory
    configuration = (BASE / "config.json").read_text().replace(PLACEHOLDER, lab.front_door.url)
    mounted = ConfigMap(places["vault-token-agent"], configuration)

    def volumes(container: dict) -> Mounts:
        return [
            (places[mount["name"]], mount["mountPath"], mount.get("readOnly", False))
            for mount in container["volumeMounts"]
        ]

    environment = {**lab.environment(), "AWS_REGION": REGION}
    tokens = []
    for number in ("first", "second"):
        container = Container(tmp_path / number, sidecar["args"], user(sidecar), environment, volumes(sidecar))
        try:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                command = sidecar[probe]["exec"]["command"]
                until(lambda it=container, command=command: it.probe(command) == 0, container)
            reader = read_by(tmp_path / f"{number}-application", user(application), volumes(application))
            tokens.append(reader)
            if number == "first":
                logins = lab.logins()
            else:
                # A changed map reaches the running container, and the agent in it.
                other = json.loads(configuration)
                other["tokens"][0]["sinks"].append({"type": "file", "path": f"{TOKEN}.json", "format": "json"})
                mounted.put(json.dumps(other))
                until((places["vault-token"] / "token.json").exists, container)
        finally:
            container.end()
    assert lab.bao.remaining(tokens[0]) is not None
    assert tokens[0] == tokens[1] and lab.logins() == logins
