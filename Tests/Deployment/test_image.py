"""The container image's root file system: what is in it, and the agent in it as the first process."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from containers import Container, needs_crun
from release import is_lean

from laboratory.laboratory import Laboratory
from laboratory.processes import SLOWER

USER = 10001
LARGEST = 30 << 20

pytestmark = needs_crun


def size(root: Path) -> int:
    return sum(file.lstat().st_size for file in root.rglob("*") if file.is_file() and not file.is_symlink())


def test_it_holds_the_agent_its_libraries_and_certificates_and_nothing_else(image: Path):
    print(f"unpacked: {size(image) / (1 << 20):.1f} MiB")
    if is_lean():
        assert size(image) <= LARGEST
    programs = [file for file in image.rglob("*") if file.is_file() and file.stat().st_mode & 0o111]
    others = [file for file in programs if ".so" not in file.name]
    assert [file.name for file in others] == ["vault-token-agent"]
    assert not [file for file in image.rglob("*") if file.is_file() and file.stat().st_mode & 0o6000]
    assert (image / "run/vault-token-agent").stat().st_uid == USER
    assert list((image / "etc/ssl/certs").glob("*.0"))


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def contained(lab: Laboratory, image: Path, shared: Path, *arguments: str) -> Container:
    """The agent with `shared` as its /tmp."""
    lab.may_hold.add(shared / "token")
    folder = shared.parent / "container"
    state = folder / "run"
    state.mkdir(parents=True)
    os.chown(state, USER, USER)
    volumes = [(shared, "/tmp", False), (state, "/run/vault-token-agent", False)]
    program = ["/usr/bin/vault-token-agent", *arguments, "--config", "/tmp/config.json"]
    return Container(image, folder, program, {"uid": USER, "gid": USER}, lab.environment(), volumes)


def configuration(lab: Laboratory, folder: Path, **token: object) -> dict:
    made = lab.configuration(folder, role="calm")
    for key in ("state_directory", "status_file"):
        made.pop(key, None)
    made["tokens"][0] |= {"sinks": [{"type": "file", "path": "/tmp/token", "mode": "0644"}], **token}
    return made


def write(shared: Path, made: dict) -> None:
    (shared / "config.json").write_text(json.dumps(made))


def test_run_keeps_a_token_under_a_read_only_root_and_sigterm_ends_it_at_once(lab, image, shared, tmp_path):
    lab.role("calm", ttl="10m", max_ttl="1h")
    write(shared, configuration(lab, tmp_path))
    with contained(lab, image, shared, "run") as container:
        container.until((shared / "token").exists)
        status = Path(f"/proc/{container.first_process()}/status").read_text()
        assert f"Uid:\t{USER}" in status and "CapEff:\t0000000000000000" in status and "NSpid" in status
        assert lab.bao.remaining((shared / "token").read_text().strip()) is not None
        began = time.monotonic()
        container.signal(signal.SIGTERM)
        assert container.process.wait(10 * SLOWER) == 0, container.log
        assert time.monotonic() - began < 3 * SLOWER


def test_sigterm_ends_a_login_that_still_tries(lab, image, shared, tmp_path):
    made = configuration(lab, tmp_path)
    made["vault"]["address"] = "http://127.0.0.1:1"
    write(shared, made)
    with contained(lab, image, shared, "login") as container:
        container.until(lambda: "127.0.0.1:1" in container.log)
        began = time.monotonic()
        container.signal(signal.SIGTERM)
        assert container.process.wait(10 * SLOWER) == 128 + signal.SIGTERM, container.log
        assert time.monotonic() - began < 3 * SLOWER


def test_orphans_of_its_commands_are_reaped(lab, image, shared, tmp_path):
    """An on_change command leaves a grandchild behind that ends later: the first process inherits it."""
    lab.role("calm", ttl="10m", max_ttl="1h")
    # The image has no shell: this one is static.
    shutil.copy("/bin/busybox", shared / "busybox")
    script = "(/tmp/busybox sleep 1; echo ended >/tmp/orphan) & echo started >/tmp/command"
    made = configuration(lab, tmp_path)
    made["tokens"][0]["on_change"] = {"command": ["/tmp/busybox", "sh", "-c", script]}
    write(shared, made)
    with contained(lab, image, shared, "run") as container:
        container.until((shared / "orphan").exists)
        container.until(lambda: container.children() == {})
