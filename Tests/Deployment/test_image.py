"""The container image's root file system under a real OCI runtime: read-only, without capabilities, without root's
rights, as the first process. It shares the network with the laboratory.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from release import is_lean, release_binary

from laboratory.agent import PROJECT
from laboratory.laboratory import Laboratory

USER = 10001
LARGEST = 30 << 20

pytestmark = [
    pytest.mark.skipif(shutil.which("crun") is None, reason="crun is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="crun needs root here"),
]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("image") / "rootfs"
    subprocess.run([PROJECT / "tools" / "build-rootfs.sh", release_binary(), root], timeout=60, check=True)
    return root


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


class Container:
    """One container of the image. A context manager; ends with it whatever happens."""

    def __init__(self, image: Path, folder: Path, arguments: list[str], environment: dict[str, str], bind: Path):
        self.name = f"vta-{os.getpid()}-{folder.name}"
        self.bundle = folder / "bundle"
        self.bundle.mkdir()
        self.state = folder / "crun"
        self.log = folder / "container.log"
        subprocess.run(["crun", "spec"], cwd=self.bundle, timeout=20, check=True)
        spec = json.loads((self.bundle / "config.json").read_text())
        spec["root"] = {"path": str(image), "readonly": True}
        spec["process"] |= {
            "terminal": False,
            "user": {"uid": USER, "gid": USER},
            "args": ["/usr/bin/vault-token-agent", *arguments],
            "env": [f"{name}={value}" for name, value in environment.items()],
            "capabilities": {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")},
            "noNewPrivileges": True,
        }
        spec["linux"]["namespaces"] = [
            one for one in spec["linux"]["namespaces"] if one["type"] not in {"network", "cgroup"}
        ]
        # What cannot be had where this machine is a container itself.
        spec["linux"].pop("resources", None)
        spec["mounts"] = [one for one in spec["mounts"] if one["type"] not in {"sysfs", "cgroup", "mqueue"}]
        owned = [f"uid={USER}", f"gid={USER}", "mode=0755", "nosuid", "nodev"]
        spec["mounts"] += [
            {"destination": "/run/vault-token-agent", "type": "tmpfs", "source": "tmpfs", "options": owned},
            {"destination": "/tmp", "type": "bind", "source": str(bind), "options": ["bind", "rw"]},
        ]
        (self.bundle / "config.json").write_text(json.dumps(spec))

    def __enter__(self) -> "Container":
        run = ["crun", "--root", self.state, "--cgroup-manager=disabled", "run", "--bundle", self.bundle, self.name]
        # crun refuses a machine with both kinds of cgroups, even where it is to use none: it sees the newer kind.
        view = 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'
        command = ["unshare", "--mount", "sh", "-c", view, "sh", *run]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait(20)

    def first_process(self) -> int:
        """The number that the agent, process 1 inside, has outside."""
        state = subprocess.run(
            ["crun", "--root", self.state, "state", self.name], capture_output=True, text=True, timeout=20, check=True
        )
        return json.loads(state.stdout)["pid"]

    def signal(self, number: int) -> None:
        os.kill(self.first_process(), number)

    def children(self) -> dict[int, str]:
        """State letters of the first process's children."""
        states = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == self.first_process():
                states[int(process.name)] = fields[0]
        return states


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    yield folder


def configuration(lab: Laboratory, folder: Path, **token: object) -> dict:
    made = lab.configuration(folder, role="calm")
    for key in ("state_directory", "status_file"):
        made.pop(key, None)
    made["tokens"][0] |= {"sinks": [{"type": "file", "path": "/tmp/token", "mode": "0644"}], **token}
    return made


def write(shared: Path, made: dict) -> None:
    (shared / "config.json").write_text(json.dumps(made))


def until(condition, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def test_run_keeps_a_token_under_a_read_only_root_and_sigterm_ends_it_at_once(lab, image, shared, tmp_path):
    lab.role("calm", ttl="10m", max_ttl="1h")
    write(shared, configuration(lab, tmp_path))
    with Container(image, tmp_path, ["run", "--config", "/tmp/config.json"], lab.environment(), shared) as container:
        assert until((shared / "token").exists), container.log.read_text()
        status = Path(f"/proc/{container.first_process()}/status").read_text()
        assert f"Uid:\t{USER}" in status and "CapEff:\t0000000000000000" in status and "NSpid" in status
        assert lab.bao.remaining((shared / "token").read_text().strip()) is not None
        began = time.monotonic()
        container.signal(signal.SIGTERM)
        assert container.process.wait(10) == 0, container.log.read_text()
        assert time.monotonic() - began < 3


def test_sigterm_ends_a_login_that_still_tries(lab, image, shared, tmp_path):
    made = configuration(lab, tmp_path)
    made["vault"]["address"] = "http://127.0.0.1:1"
    write(shared, made)
    arguments = ["login", "--config", "/tmp/config.json"]
    with Container(image, tmp_path, arguments, lab.environment(), shared) as container:
        assert until(lambda: "127.0.0.1:1" in container.log.read_text()), container.log.read_text()
        began = time.monotonic()
        container.signal(signal.SIGTERM)
        assert container.process.wait(10) == 128 + signal.SIGTERM, container.log.read_text()
        assert time.monotonic() - began < 3


def test_orphans_of_its_commands_are_reaped(lab, image, shared, tmp_path):
    """An on_change command leaves a grandchild behind that ends later: the first process inherits it."""
    lab.role("calm", ttl="10m", max_ttl="1h")
    # The image has no shell: this one is static.
    shutil.copy("/bin/busybox", shared / "busybox")
    script = "(/tmp/busybox sleep 1; echo ended >/tmp/orphan) & echo started >/tmp/command"
    made = configuration(lab, tmp_path)
    made["tokens"][0]["on_change"] = {"command": ["/tmp/busybox", "sh", "-c", script]}
    write(shared, made)
    with Container(image, tmp_path, ["run", "--config", "/tmp/config.json"], lab.environment(), shared) as container:
        assert until((shared / "orphan").exists), container.log.read_text()
        assert until(lambda: container.children() == {}, 5), container.children()
