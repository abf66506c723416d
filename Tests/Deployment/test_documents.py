"""The guides' shell blocks, run as they stand, in order: `vault` by OpenBao's program, the rest on a booted machine.

A block that cannot run here has a comment before it that says why: `<!-- not run: … -->`. Those are counted, so that
none is left out unseen.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from private_systemd import UNITS, NotPossibleHere, PrivateSystemd
from release import QUICKLY, release_binary

from laboratory.agent import PROJECT, agent_binary
from laboratory.laboratory import REGION, Laboratory
from laboratory.openbao import bao_binary

pytestmark = pytest.mark.long(140)

GUIDES = sorted(
    path for path in (PROJECT / "README.md", *PROJECT.glob("docs/*.md"), *PROJECT.glob("deploy/*/README.md"))
)
SERVICE = "vault-token-agent.service"
TOKEN = "/run/vault-token-agent/token"
# Set-up, build and packaging find their tools here; what an operator's program does otherwise here comes before them.
SEARCH = f"/usr/local/bin:{os.environ.get('PATH', os.defpath)}:/opt/swift/usr/bin"


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
        "docs/install.md": (5, 2),
        "docs/openbao.md": (1, 1),
        "docs/sinks.md": (1, 0),
        "docs/troubleshooting.md": (1, 0),
    }
    print({guide: f"{ran} run, {left} not" for guide, (ran, left) in counted.items()})


class Machine(PrivateSystemd):
    """A booted machine on which nothing of the agent is installed, with the sources and their builds where they are."""

    def shell(self, text: str, seconds: float = 300) -> str:
        """Runs a block as a reader would paste it, at the top of the sources; every line must succeed."""
        surroundings = f"set -eu\nexport HOME=/root PATH={shlex.quote(SEARCH)}\ncd {shlex.quote(str(PROJECT))}\n"
        (self.root / "root/block.sh").write_text(surroundings + text)
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


def is_mounted(path: Path) -> bool:
    """Whether it is on another file system than the root: that alone is on a private machine."""
    return path.stat().st_dev != Path("/").stat().st_dev


@pytest.fixture
def boot(lab: Laboratory, tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    variables = {**lab.environment(), "AWS_REGION": REGION}
    surroundings = tmp_path / "laboratory.conf"
    lines = "\n".join(f"Environment={shlex.quote(f'{k}={v}')}" for k, v in variables.items())
    surroundings.write_text(f"[Service]\n{lines}\n")
    machines: list[Machine] = []

    def booted() -> Machine:
        # So that nothing is left to be compiled on the machine, where it would be done anew each time.
        release_binary()
        toolchain = Path(shutil.which("swift", path=SEARCH)).resolve().parent
        elsewhere = [path for path in (toolchain.parents[1], Path(sys.base_prefix)) if is_mounted(path)]
        try:
            machine = Machine(
                UNITS / "example-consumer.service",
                agent_binary(),
                at="/opt/unused",
                files=[(surroundings, f"/etc/systemd/system/{SERVICE}.d/laboratory.conf", "0644")],
                bind=[bao_binary(), *elsewhere],
                own=[PROJECT],
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


def edited(machine: Machine, editor: str, lab: Laboratory) -> None:
    """What the guides ask for in the editor: address, role, header_value. The example has the latter two right."""
    machine.program(editor, f"sed -i 's,https://vault.example.com:8200,{lab.front_door.url},' \"$1\"")


def test_the_quick_start_for_ec2_and_what_the_guides_do_on_top_of_it(
    lab: Laboratory, boot: Callable[..., Machine], tmp_path: Path
):
    vaults_side, on_ec2 = runnable("README.md")
    operate(lab, tmp_path, vaults_side)
    allow_reading(lab)

    machine = boot()
    edited(machine, "sudoedit", lab)
    assert "address, role, header_value" in on_ec2
    output = machine.shell(on_ec2)
    assert "Active: active (running)" in output and "iam:GetRole" in output
    assert machine.active() and lab.bao.remaining(machine.read(TOKEN)) is not None
    # It is the release build that was packaged and installed.
    assert (machine.root / "usr/bin/vault-token-agent").read_bytes() == release_binary().read_bytes()

    (three_commands,) = runnable("docs/troubleshooting.md")
    found = machine.shell(f". /root/laboratory.sh\n{three_commands}")
    assert "arn:aws:sts::123456789012:assumed-role/app/" in found and " 0 failed" in found

    (one_command,) = runnable("docs/openbao.md")
    machine.program("bao", f'export BAO_ADDR={lab.front_door.url}; exec {bao_binary()} "$@"')
    assert "of-the-guide" in machine.shell(one_command)

    (path_unit,) = runnable("docs/sinks.md")
    machine.program("example-application", "exec sleep infinity")
    machine.shell(
        "install -m 0644 deploy/systemd/example-consumer.service /etc/systemd/system/\n"
        "systemctl daemon-reload; systemctl start example-consumer.service"
    )
    machine.shell(path_unit)
    before, reader = machine.read(TOKEN), machine.invocation("example-consumer.service")
    machine.systemctl("kill", "--signal=USR1", SERVICE)
    machine.wait_until(lambda: machine.read(TOKEN) != before, "logged in anew", 20)
    machine.wait_until(lambda: machine.invocation("example-consumer.service") != reader, "restarted the reader", 20)


def test_the_guide_to_install_by_hand(lab: Laboratory, boot: Callable[..., Machine]):
    lab.role("app", ttl="10m", max_ttl="1h")
    by_hand, membership, credentials = runnable("deploy/systemd/README.md")
    machine = boot()
    edited(machine, "vi", lab)
    output = machine.shell(by_hand)
    assert "app: fresh until" in output
    assert lab.bao.remaining(machine.read(TOKEN)) is not None

    machine.shell("useradd app")
    machine.shell(membership)
    assert machine.run("runuser", "--user", "app", "--", "cat", TOKEN).ok

    machine.shell("install -d -m 0700 /etc/credstore; echo 'a key' >client.key")
    machine.shell(credentials)
    assert machine.read("/etc/credstore/vault-token-agent.client-key") == "a key\n"


def test_the_guide_to_packages(boot: Callable[..., Machine]):
    packages, debian, archive, signing, image = runnable("docs/install.md")
    machine = boot()
    quickly = "".join(f"export {name}={value}\n" for name, value in QUICKLY.items())
    machine.shell(quickly + packages)
    machine.shell("cd out && sha256sum --check --strict SHA256SUMS")
    machine.shell(debian)
    assert machine.run("vault-token-agent", "version").ok
    machine.shell("dpkg --purge vault-token-agent")
    machine.shell(archive)
    assert machine.run("vault-token-agent", "version").ok

    machine.shell(
        "gpg --batch --quiet --passphrase '' --quick-generate-key publisher@localhost default default never\n"
        "printf '%s\\n' '%_gpg_name publisher@localhost' '%__gpg /usr/bin/gpg' >~/.rpmmacros"
    )
    machine.shell(quickly + signing)
    machine.shell(
        "cd out; gpg --verify SHA256SUMS.asc SHA256SUMS; sha256sum --check --strict SHA256SUMS\n"
        "gpg --export --armor publisher@localhost >key.asc; rpm --import key.asc; rpm --checksig *.rpm"
    )

    machine.shell(image)
    assert (machine.root / str(PROJECT)[1:] / "out/rootfs/usr/bin/vault-token-agent").exists()
