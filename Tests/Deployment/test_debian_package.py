"""The Debian package: the same bytes from the same sources; installed, upgraded and purged under a real systemd."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from private_systemd import UNITS, NotPossibleHere, PrivateSystemd
from release import built, release_binary

from laboratory.agent import agent_binary
from laboratory.faults import Fault
from laboratory.laboratory import REGION, SERVER_ID, Laboratory

TOKEN = "/run/vault-token-agent/token"
STATE = "/var/lib/vault-token-agent"
ENABLED = "/etc/systemd/system/multi-user.target.wants/vault-token-agent.service"


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=480, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_same_binary_makes_the_same_package_wherever_and_whenever(deb, tmp_path):
    elsewhere = Path(shutil.copy(release_binary(), tmp_path / "agent"))
    os.utime(elsewhere, (1, 1))
    other = built("deb", tmp_path / "out", elsewhere, umask=0o077, TZ="Asia/Tokyo", LC_ALL="C")
    assert other.name == deb.name
    assert other.read_bytes() == deb.read_bytes()


def test_it_holds_what_belongs_to_the_agent_and_names_the_libraries_it_needs(deb):
    listed = [line.split(maxsplit=5) for line in run("dpkg-deb", "--contents", deb).splitlines()]
    assert {owner for _, owner, *_ in listed} == {"root/root"}
    modes = {path.removeprefix("."): mode for mode, _, _, _, _, path in listed}
    assert all(mode == ("-rwxr-xr-x" if path.startswith("/usr/bin/") else "-rw-r--r--")
               for path, mode in modes.items() if not path.endswith("/"))  # fmt: skip
    assert all(mode == "drwxr-xr-x" for path, mode in modes.items() if path.endswith("/"))
    for path in (
        "/etc/vault-token-agent/",
        "/lib/systemd/system/vault-token-agent.service",
        "/lib/systemd/system/vault-token-agent@.service",
        "/usr/bin/vault-token-agent",
        "/usr/lib/sysusers.d/vault-token-agent.conf",
        "/usr/share/bash-completion/completions/vault-token-agent",
        "/usr/share/doc/vault-token-agent/examples/config.json",
        "/usr/share/doc/vault-token-agent/troubleshooting.md",
        "/usr/share/man/man5/vault-token-agent.json.5.gz",
        "/usr/share/man/man8/vault-token-agent.8.gz",
    ):
        assert path in modes, path
    depends = run("dpkg-deb", "--field", deb, "Depends")
    for library in ("libc6", "libssl3"):
        assert re.search(rf"\b{re.escape(library)}\b( \(>= [^)]+\))?(,|$)", depends), depends
    assert not re.search(r"libcurl|libexpat|libnghttp2|libsystemd", depends), depends


@pytest.fixture
def newer(deb: Path, tmp_path: Path) -> Path:
    """The same package with a higher version."""
    run("dpkg-deb", "--raw-extract", deb, tmp_path / "newer")
    control = tmp_path / "newer" / "DEBIAN" / "control"
    control.write_text(re.sub(r"^Version: .*", "Version: 99", control.read_text(), flags=re.MULTILINE))
    run("dpkg-deb", "-Znone", "--root-owner-group", "--build", tmp_path / "newer", tmp_path / "newer.deb")
    return tmp_path / "newer.deb"


class Machine(PrivateSystemd):
    """A booted machine on which the package is not installed yet."""

    SERVICE = "vault-token-agent.service"

    def dpkg(self, *arguments: str, seconds: float = 60) -> None:
        done = self.run("dpkg", *arguments, seconds=seconds)
        assert done.ok, done.output

    def has(self, path: str) -> bool:
        return os.path.lexists(self.root / path.lstrip("/"))

    def main_process(self) -> str:
        return self.systemctl("show", "--value", "--property=MainPID", self.SERVICE).output.strip()

    def state(self) -> tuple[str, str]:
        """Enabled? Active?"""
        return tuple(self.systemctl(question, self.SERVICE).output.strip() for question in ("is-enabled", "is-active"))


@pytest.fixture
def machine(lab: Laboratory, deb: Path, newer: Path, tmp_path: Path) -> Iterator[Machine]:
    variables = "\n".join(f"Environment={shlex.quote(f'{k}={v}')}" for k, v in lab.environment().items())
    surroundings = tmp_path / "laboratory.conf"
    surroundings.write_text(f"[Service]\n{variables}\n")
    try:
        booted = Machine(
            UNITS / "example-consumer.service",
            agent_binary(),
            at="/opt/unused",
            files=[
                (deb, "/root/first.deb", "0644"),
                (newer, "/root/newer.deb", "0644"),
                (surroundings, f"/etc/systemd/system/{Machine.SERVICE}.d/laboratory.conf", "0644"),
            ],
        )
    except NotPossibleHere as reason:
        pytest.skip(f"no private systemd here: {reason}")
    with booted:
        yield booted


def test_it_is_installed_upgraded_and_purged_and_the_token_lives_through_the_upgrades(lab, machine, tmp_path):
    lab.role("calm", ttl="10m", max_ttl="1h")
    vault = lab.fault_proxy()
    sink = {"type": "file", "path": TOKEN, "mode": "0640", "group": "vault-token-readers"}
    auth = {"type": "iam", "role": "calm", "header_value": SERVER_ID, "region": REGION}
    configuration = {"vault": {"address": vault.url}, "tokens": [{"name": "app", "auth": auth, "sinks": [sink]}]}

    # Container images come with one that forbids everything.
    policy = machine.root / "usr/sbin/policy-rc.d"
    policy.unlink(missing_ok=True)

    machine.dpkg("--install", "/root/first.deb")
    assert machine.run("getent", "passwd", "vault-token-agent").ok
    assert machine.run("getent", "group", "vault-token-readers").ok
    assert machine.state() == ("disabled", "inactive")  # nothing starts before there is a configuration

    (machine.root / "etc/vault-token-agent/config.json").write_text(json.dumps(configuration))
    started = machine.systemctl("enable", "--now", machine.SERVICE)
    assert started.ok, started.output
    token, first, logins = machine.read(TOKEN), machine.main_process(), lab.logins()
    assert lab.bao.remaining(token) is not None

    # Another process, the same token.
    machine.dpkg("--install", "/root/newer.deb")
    machine.wait_until(lambda: machine.main_process() not in (first, "0"), "restarted", 20)
    machine.wait_until(lambda: machine.state() == ("enabled", "active"), "active again", 20)
    second = machine.main_process()
    assert machine.read(TOKEN) == token and lab.logins() == logins

    # While Vault is away dpkg does not wait for the agent to be ready.
    vault.set(Fault.REFUSE)
    machine.dpkg("--install", "/root/newer.deb", seconds=30)
    machine.wait_until(lambda: machine.main_process() not in (second, "0"), "restarted", 20)
    assert machine.read(TOKEN) == token
    vault.set(Fault.NONE)
    machine.wait_until(lambda: machine.state() == ("enabled", "active"), "active again", 40)

    # Where the operator forbids restarts there is none.
    third = machine.main_process()
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    machine.dpkg("--install", "/root/newer.deb")
    assert machine.main_process() == third
    policy.unlink()

    machine.dpkg("--remove", "vault-token-agent")
    assert machine.main_process() == "0"
    assert machine.has("/etc/vault-token-agent/config.json") and machine.has(STATE)
    machine.dpkg("--purge", "vault-token-agent")
    assert machine.has("/etc/vault-token-agent/config.json")
    for path in (STATE, TOKEN, ENABLED, "/usr/bin/vault-token-agent", "/usr/share/doc/vault-token-agent"):
        assert not machine.has(path), path
