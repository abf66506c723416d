"""The release build, of which packages and images are made, and the Debian package of it."""

import fcntl
import functools
import os
import subprocess
from pathlib import Path

from laboratory.agent import PROJECT

RELEASED = PROJECT / "out" / "vault-token-agent"
LINK_MAP = PROJECT / "out" / "vault-token-agent.map"
# How small a package is, few tests ask: variables of the scripts that build packages, for less of an effort.
QUICKLY = {"RPM_PAYLOAD": "w1.gzdio", "DPKG_DEB_COMPRESSOR_LEVEL": "0"}


@functools.cache
def release_binary() -> Path:
    """Built where it is older than its sources; `make test` builds it before any test: then nothing is left to do."""
    # Make's word to its own sub-makes is not for this one.
    environment = {
        name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
    }
    (PROJECT / "out").mkdir(exist_ok=True)
    with (PROJECT / "out" / ".building").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            ["make", "binary"], cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=1800, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return RELEASED


def is_lean() -> bool:
    """Whether the set-up could build a libcurl; else the system's shared one stands in, and brings what it brings."""
    return (PROJECT / ".libraries" / "lib" / "libcurl-chosen.a").exists()


def built(kind: str, folder: Path, binary: Path | None = None, *, umask: int = -1, **variables: str) -> Path:
    """A package by `tools/build-KIND.sh`: of the release build, unless of another binary."""
    environment = os.environ | QUICKLY | variables
    command = [PROJECT / "tools" / f"build-{kind}.sh", binary or release_binary(), folder]
    done = subprocess.run(
        command, env=environment, umask=umask, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.strip())
