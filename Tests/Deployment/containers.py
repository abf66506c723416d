"""Containers under a real OCI runtime, crun: read-only, without capabilities, as the user that is asked for, the given
program as the first process. They share the network with the laboratory.
"""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from laboratory.processes import SLOWER

# crun wants one hierarchy of cgroups, even where it is to use none; a mount namespace of its own gives it one.
PRIVATE = ("unshare", "--mount", "sh", "-euc", 'mount -n -t cgroup2 cgroup2 /sys/fs/cgroup; exec "$@"', "-")
CRUN = (*PRIVATE, "crun", "--cgroup-manager=disabled")

# A directory here, where it is mounted, whether only to be read.
Mounts = list[tuple[Path, str, bool]]


def possible() -> bool:
    if os.geteuid() != 0 or shutil.which("crun") is None:
        return False
    return subprocess.run([*PRIVATE, "true"], capture_output=True, check=False).returncode == 0


needs_crun = pytest.mark.skipif(not possible(), reason="no root, no crun or no namespaces of one's own")


class Container:
    """One container of an image, which is a root file system. A context manager; ends with it whatever happens."""

    def __init__(
        self, image: Path, folder: Path, arguments: list[str], user: dict, environment: dict[str, str], volumes: Mounts
    ):
        """`user`: uid, gid and additionalGids, as in OCI's specification; `folder` is made, for the container alone."""
        self.name = f"vta-{os.getpid()}-{folder.name}"
        self.log_path = folder / "container.log"
        bundle = folder / "bundle"
        bundle.mkdir(parents=True)
        subprocess.run(["crun", "spec"], cwd=bundle, timeout=20 * SLOWER, check=True)
        spec = json.loads((bundle / "config.json").read_text())
        spec["root"] = {"path": str(image), "readonly": True}
        spec["process"] |= {
            "terminal": False,
            "user": user,
            "args": arguments,
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
        for source, at, read_only in volumes:
            options = ["rbind", "ro" if read_only else "rw"]
            spec["mounts"].append({"destination": at, "type": "bind", "source": str(source), "options": options})
        (bundle / "config.json").write_text(json.dumps(spec))
        self._crun = (*CRUN, "--root", str(folder / "crun"))
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*self._crun, "run", "--bundle", bundle, self.name], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def __enter__(self) -> "Container":
        return self

    def __exit__(self, *_: object) -> None:
        # It may not be there yet.
        for _attempt in range(20 * SLOWER):
            if self.process.poll() is not None:
                break
            self._call("kill", self.name, "KILL")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
        self.process.kill()
        self.process.wait()
        self._call("delete", "--force", self.name)

    def _call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*self._crun, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60 * SLOWER, check=False)

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def probe(self, command: list[str]) -> int:
        """The exit status of a health check in the container; 255 while there is none to run it in."""
        return self._call("exec", self.name, *command).returncode

    def first_process(self) -> int:
        """The number that process 1 inside has outside."""
        return json.loads(self._call("state", self.name).stdout)["pid"]

    def signal(self, number: int) -> None:
        os.kill(self.first_process(), number)

    def children(self) -> dict[int, str]:
        """State letters of the first process's children."""
        first, states = self.first_process(), {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                fields = (process / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == first:
                states[int(process.name)] = fields[0]
        return states

    def until(self, true: Callable[[], object], seconds: float = 40) -> None:
        """Waits for it; fails with the log."""
        deadline = time.monotonic() + seconds * SLOWER
        while not true():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.1)
