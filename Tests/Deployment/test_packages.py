"""RPM, tar archive, bill of materials: the same bytes from the same binary; installed, started, upgraded, removed."""

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from private_systemd import UNITS, NotPossibleHere, PrivateSystemd
from release import built, is_lean, release_binary

from laboratory.agent import PROJECT, agent_binary
from laboratory.laboratory import Laboratory

SERVICE = "vault-token-agent.service"
INSTANCE = "vault-token-agent@other.service"
TOKEN = "/run/vault-token-agent/token"
FILES = {
    "/usr/bin/vault-token-agent",
    "/usr/lib/systemd/system/vault-token-agent.service",
    "/usr/lib/systemd/system/vault-token-agent@.service",
    "/usr/lib/sysusers.d/vault-token-agent.conf",
    "/usr/share/bash-completion/completions/vault-token-agent",
    "/usr/share/doc/vault-token-agent/examples/config.json",
    "/usr/share/man/man5/vault-token-agent.json.5.gz",
    "/usr/share/man/man8/vault-token-agent.8.gz",
}
no_rpmbuild = pytest.mark.skipif(shutil.which("rpmbuild") is None, reason="rpmbuild is not installed")


def run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", [pytest.param("rpm", marks=no_rpmbuild), "tarball"])
def test_the_same_binary_makes_the_same_package_wherever_and_whenever(kind: str, tmp_path: Path):
    (tmp_path / "one").mkdir()
    # Of a version before: it is not what the script tells of.
    (tmp_path / "one" / f"vault-token-agent-0.0.1-1.{platform.machine()}.rpm").touch()
    one = built(kind, tmp_path / "one")
    elsewhere = Path(shutil.copy(release_binary(), tmp_path / "agent"))
    os.utime(elsewhere, (1, 1))
    (tmp_path / "folder").mkdir()
    other = built(kind, tmp_path / "two", elsewhere, TZ="Asia/Tokyo", TMPDIR=str(tmp_path / "folder"))
    assert one.name == other.name
    assert one.read_bytes() == other.read_bytes()


@no_rpmbuild
def test_the_rpm_says_what_it_needs_and_unpacks_under_a_root_of_its_own(tmp_path: Path):
    package = built("rpm", tmp_path)
    needed = run("rpm", "--query", "--requires", "--package", package)
    if is_lean():
        assert "libcurl" not in needed
    assert "libssl.so.3" in needed and "libc.so.6(GLIBC_2.34)" in needed and "ca-certificates" in needed
    scripts = run("rpm", "--query", "--scripts", "--package", package)
    assert "systemctl --no-reload preset vault-token-agent.service" in scripts or "systemd-update-helper" in scripts
    root = tmp_path / "root"
    root.mkdir()
    run("rpm", "--root", root, "--install", "--nodeps", "--noscripts", package)
    assert {path for path in FILES if (root / path[1:]).is_file()} == FILES
    assert (root / "etc/vault-token-agent").is_dir()
    assert run("rpm", "--root", root, "--query", "vault-token-agent").startswith("vault-token-agent-")
    run("rpm", "--root", root, "--erase", "--nodeps", "--noscripts", "vault-token-agent")
    assert not [path for path in FILES if (root / path[1:]).exists()]


class Machine(PrivateSystemd):
    """A booted machine on which nothing of the agent is installed yet."""

    def shell(self, script: str, seconds: float = 60) -> str:
        done = self.run("sh", "-ec", script, seconds=seconds)
        assert done.ok, done.output
        return done.output

    def main_process(self) -> str:
        return self.systemctl("show", "--value", "--property=MainPID", SERVICE).output.strip()


@pytest.fixture
def surroundings(lab: Laboratory, tmp_path: Path) -> list[tuple[Path, str, str]]:
    """What the machine gets beside the package: the laboratory's environment, and a configuration."""
    variables = "\n".join(f"Environment={shlex.quote(f'{k}={v}')}" for k, v in lab.environment().items())
    (tmp_path / "laboratory.conf").write_text(f"[Service]\n{variables}\n")
    made = lab.configuration(tmp_path, role="calm")
    made["tokens"][0]["sinks"] = [{"type": "file", "path": TOKEN}]
    made.pop("state_directory", None)
    made.pop("status_file", None)
    (tmp_path / "config.json").write_text(json.dumps(made))
    return [
        (tmp_path / "laboratory.conf", f"/etc/systemd/system/{SERVICE}.d/laboratory.conf", "0644"),
        (tmp_path / "config.json", "/root/config.json", "0644"),
    ]


def boot(files: list[tuple[Path, str, str]]) -> Machine:
    try:
        return Machine(UNITS / "example-consumer.service", agent_binary(), at="/opt/unused", files=files)
    except NotPossibleHere as reason:
        pytest.skip(f"no private systemd here: {reason}")


def live(machine: Machine, install: str, upgrade: str, remove: str) -> None:
    """Installs, starts, upgrades and removes; the token lives through the upgrade."""
    machine.shell(install)
    machine.shell(
        "cp /root/config.json /etc/vault-token-agent/config.json; getent passwd vault-token-agent;"
        f"systemctl daemon-reload; systemctl start {SERVICE}; systemctl enable {SERVICE} {INSTANCE}"
    )
    first, token = machine.main_process(), machine.shell(f"cat {TOKEN}")
    assert first != "0" and token
    machine.shell(upgrade)
    machine.shell(f"for i in $(seq 100); do systemctl is-active {SERVICE} && break; sleep 0.2; done")
    assert machine.main_process() not in {"0", first}
    assert machine.shell(f"cat {TOKEN}") == token
    machine.shell(remove)
    assert machine.systemctl("is-active", SERVICE).output.strip() in {"inactive", "unknown"}
    left = machine.shell(
        f"ls -d {' '.join(sorted(FILES))} /var/lib/vault-token-agent /run/vault-token-agent"
        " /etc/systemd/system/*.wants/vault-token-agent* 2>/dev/null || true"
    )
    assert not left.strip(), left
    machine.shell("test -e /etc/vault-token-agent/config.json")


@no_rpmbuild
def test_the_rpm_is_installed_upgraded_and_removed(lab: Laboratory, surroundings: list, tmp_path: Path):
    lab.role("calm", ttl="10m", max_ttl="1h")
    first, second = built("rpm", tmp_path / "1"), built("rpm", tmp_path / "2", RPM_RELEASE="2")
    files = [*surroundings, (first, "/root/first.rpm", "0644"), (second, "/root/second.rpm", "0644")]
    with boot(files) as machine:
        live(
            machine,
            "rpm --install --nodeps /root/first.rpm",
            "rpm --upgrade --nodeps /root/second.rpm",
            "rpm --erase vault-token-agent",
        )


def test_the_archive_is_installed_upgraded_and_removed(lab: Laboratory, surroundings: list, tmp_path: Path):
    lab.role("calm", ttl="10m", max_ttl="1h")
    with boot([*surroundings, (built("tarball", tmp_path / "1"), "/root/agent.tar.gz", "0644")]) as machine:
        installed = "cd /root && tar -xzf agent.tar.gz && vault-token-agent-*/install.sh"
        live(machine, installed, installed, "/root/vault-token-agent-*/install.sh --remove")


def test_the_archive_names_no_user_and_no_folder_of_the_builder(tmp_path: Path):
    with tarfile.open(built("tarball", tmp_path)) as archive:
        members = archive.getmembers()
    assert {(member.uid, member.gid, member.uname) for member in members} == {(0, 0, "")}
    assert len({member.mtime for member in members}) == 1
    assert {f"/{member.name.split('/', 2)[2]}" for member in members if "/tree/" in member.name} >= FILES


def test_the_bill_of_materials_names_what_is_inside_and_what_is_loaded():
    document = json.loads(run("python3", PROJECT / "tools" / "write-sbom.py", release_binary()))
    assert document["spdxVersion"] == "SPDX-2.3" and document["documentNamespace"].startswith("https://")
    packages = {package["name"]: package for package in document["packages"]}
    links = {(r["relatedSpdxElement"], r["relationshipType"]) for r in document["relationships"]}
    for name in ("swift-argument-parser", "swift-log", "swift-runtime", "expat", "libstdc++"):
        assert (packages[name]["SPDXID"], "STATIC_LINK") in links, name
        assert re.match(r"\d", packages[name]["versionInfo"])
    for name in ("libc.so.6", "libssl.so.3", "libcrypto.so.3"):
        assert (packages[name]["SPDXID"], "DYNAMIC_LINK") in links, name
    if is_lean():
        assert (packages["curl"]["SPDXID"], "STATIC_LINK") in links
        assert "CVE-" in packages["curl"]["comment"]
    identifiers = [package["SPDXID"] for package in document["packages"]]
    assert len(identifiers) == len(set(identifiers))
    assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", identifier) for identifier in identifiers)
