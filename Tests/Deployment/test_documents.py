"""The guides' shell blocks, run as they stand, in order: `vault` by OpenBao's program, the rest on a booted machine.

A block that cannot run here has a comment before it that says why: `<!-- not run: … -->`. Those are counted, so that
none is left out unseen.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from private_systemd import UNITS, NotPossibleHere, PrivateSystemd

from laboratory.agent import PROJECT, agent_binary
from laboratory.laboratory import REGION, Laboratory
from laboratory.openbao import bao_binary

GUIDES = sorted(
    path for path in (PROJECT / "README.md", *PROJECT.glob("docs/*.md"), *PROJECT.glob("deploy/*/README.md"))
)
SERVICE = "vault-token-agent.service"
TOKEN = "/run/vault-token-agent/token"
SOURCE = "/srv/source"


@dataclass(frozen=True)
class Block:
    guide: str
    text: str
    # Why it is not run; empty: it is.
    mark: str


def blocks() -> list[Block]:
    found = []
    for path in GUIDES:
        pattern = r"(?:^<!-- not run: ([^\n]+) -->\n)?^```sh\n(.*?)^```$"
        for mark, text in re.findall(pattern, path.read_text(), re.MULTILINE | re.DOTALL):
            found.append(Block(str(path.relative_to(PROJECT)), text, mark))
    return found


def runnable(guide: str) -> list[str]:
    return [block.text for block in blocks() if block.guide == guide and not block.mark]


def test_blocks_that_are_not_run_say_why_and_are_counted():
    counted = {}
    for block in blocks():
        ran, left = counted.get(block.guide, (0, 0))
        counted[block.guide] = (ran, left + 1) if block.mark else (ran + 1, left)
    assert counted == {
        "README.md": (2, 1),
        "deploy/ecs/README.md": (0, 2),
        "deploy/systemd/README.md": (3, 0),
        "docs/install.md": (0, 4),
        "docs/openbao.md": (1, 1),
        "docs/sinks.md": (1, 0),
        "docs/troubleshooting.md": (1, 0),
    }
    print({guide: f"{ran} run, {left} not" for guide, (ran, left) in counted.items()})


class Machine(PrivateSystemd):
    """A booted machine on which nothing of the agent is installed, with the sources in /srv/source."""

    def shell(self, text: str, seconds: float = 120) -> str:
        """Runs a block as a reader would paste it; every line must succeed."""
        (self.root / "root/block.sh").write_text(f"set -eu\ncd {SOURCE}\n{text}")
        done = self.run("bash", "/root/block.sh", seconds=seconds)
        assert done.ok, f"status {done.status}:\n{text}\n{done.output}\n{self.journal()}"
        return done.output

    def program(self, name: str, text: str) -> None:
        """A program of an operator's that is done otherwise here."""
        path = self.root / "usr/local/bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def invocation(self, unit: str) -> str:
        """Another one for each start."""
        return self.systemctl("show", "--value", "--property=InvocationID", unit).output

    def active(self) -> bool:
        return self.systemctl("is-active", SERVICE).output.strip() == "active"


@pytest.fixture
def lab() -> Iterator[Laboratory]:
    """One for each test: its `aws` mount is made by the guides' own commands."""
    with Laboratory() as made:
        yield made


@pytest.fixture
def boot(lab: Laboratory, tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    variables = {**lab.environment(), "AWS_REGION": REGION}
    surroundings = tmp_path / "laboratory.conf"
    lines = "\n".join(f"Environment={shlex.quote(f'{k}={v}')}" for k, v in variables.items())
    surroundings.write_text(f"[Service]\n{lines}\n")
    machines: list[Machine] = []

    def booted(*files: tuple[Path, str, str], at: str = "/opt/unused") -> Machine:
        deploy = [
            (path, f"{SOURCE}/{path.relative_to(PROJECT)}", "0644")
            for path in (PROJECT / "deploy" / "systemd").iterdir()
        ]
        drop_in = (surroundings, f"/etc/systemd/system/{SERVICE}.d/laboratory.conf", "0644")
        try:
            machine = Machine(
                UNITS / "example-consumer.service",
                agent_binary(),
                at=at,
                files=[drop_in, *deploy, *files],
                bind=[bao_binary()],
            )
        except NotPossibleHere as reason:
            pytest.skip(f"no private systemd here: {reason}")
        machines.append(machine)
        machine.program("sudo", 'exec "$@"')
        exported = "\n".join(f"export {key}={shlex.quote(value)}" for key, value in variables.items())
        # People's shells have it from the instance; here the laboratory is the instance.
        (machine.root / "root/laboratory.sh").write_text(exported + "\n")
        return machine

    yield booted
    for machine in machines:
        machine.end()


def operate(lab: Laboratory, folder: Path, block: str) -> None:
    """An operator's `vault` commands against a Vault that has no `aws` mount yet."""
    lab.front_door.unmount("auth/aws")
    programs = folder / "bin"
    programs.mkdir()
    (programs / "vault").symlink_to(bao_binary())
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "HOME": str(folder),
        "BAO_ADDR": lab.front_door.url,
        "BAO_TOKEN": lab.bao.root_token,
    }
    done = subprocess.run(
        ["bash", "-euc", block], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def allow_reading(lab: Laboratory) -> None:
    """A secret, and the policy that the guides' role gives."""
    lab.bao.expect("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    lab.bao.expect("POST", "secret/data/app", {"data": {"password": "of-the-guide"}})
    lab.bao.expect("POST", "sys/policy/app", {"policy": 'path "secret/data/app" { capabilities = ["read"] }'})


def test_the_quick_start_for_ec2_and_what_the_guides_do_on_top_of_it(
    lab: Laboratory, boot: Callable[..., Machine], deb: Path, tmp_path: Path
):
    vaults_side, on_ec2 = runnable("README.md")
    operate(lab, tmp_path, vaults_side)
    allow_reading(lab)

    machine = boot((deb, f"/srv/{deb.name}", "0644"))
    # The package under test is built from the debug build, by the script that `make deb` calls.
    machine.program("make", f"install -D -m 0644 /srv/{deb.name} out/{deb.name} && echo out/{deb.name}")
    # What the comment in the block asks for: address, role, header_value. The example has the latter two right.
    machine.program("sudoedit", f"sed -i 's,https://vault.example.com:8200,{lab.front_door.url},' \"$1\"")
    assert "address, role, header_value" in on_ec2
    output = machine.shell(on_ec2)
    assert "Active: active (running)" in output and "iam:GetRole" in output
    assert machine.active() and lab.bao.remaining(machine.read(TOKEN)) is not None

    (three_commands,) = runnable("docs/troubleshooting.md")
    found = machine.shell(f". /root/laboratory.sh\n{three_commands}")
    assert "arn:aws:sts::123456789012:assumed-role/app/" in found and " 0 failed" in found

    (one_command,) = runnable("docs/openbao.md")
    machine.program("bao", f'export BAO_ADDR={lab.front_door.url}; exec {bao_binary()} "$@"')
    assert "of-the-guide" in machine.shell(one_command)

    (path_unit,) = runnable("docs/sinks.md")
    machine.program("example-application", "exec sleep infinity")
    machine.shell(
        f"install -m 0644 {SOURCE}/deploy/systemd/example-consumer.service /etc/systemd/system/\n"
        "systemctl daemon-reload; systemctl start example-consumer.service"
    )
    machine.shell(path_unit)
    before, reader = machine.read(TOKEN), machine.invocation("example-consumer.service")
    machine.systemctl("kill", "--signal=USR1", SERVICE)
    machine.wait_until(lambda: machine.read(TOKEN) != before, "logged in anew", 20)
    machine.wait_until(lambda: machine.invocation("example-consumer.service") != reader, "restarted the reader", 20)


def test_the_guide_to_install_by_hand(lab: Laboratory, boot: Callable[..., Machine], tmp_path: Path):
    lab.role("app", ttl="10m", max_ttl="1h")
    by_hand, membership, credentials = runnable("deploy/systemd/README.md")
    configuration = json.loads((PROJECT / "config.example.json").read_text())
    configuration["vault"]["address"] = lab.front_door.url
    del configuration["$schema"]
    file, key = tmp_path / "config.json", tmp_path / "client.key"
    file.write_text(json.dumps(configuration))
    key.write_text("a key")
    machine = boot(
        (file, f"{SOURCE}/config.json", "0644"), (key, f"{SOURCE}/client.key", "0600"), at=f"{SOURCE}/vault-token-agent"
    )
    output = machine.shell(by_hand)
    assert "app: fresh until" in output
    assert lab.bao.remaining(machine.read(TOKEN)) is not None

    machine.shell("useradd app")
    machine.shell(membership)
    assert machine.run("runuser", "--user", "app", "--", "cat", TOKEN).ok

    machine.shell("install -d -m 0700 /etc/credstore")
    machine.shell(credentials)
    assert machine.read("/etc/credstore/vault-token-agent.client-key") == "a key"
