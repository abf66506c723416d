"""The Debian package of the build under test."""

import subprocess
from pathlib import Path

import pytest

from laboratory.agent import PROJECT, agent_binary


@pytest.fixture(scope="session")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deb")
    stripped = folder / "vault-token-agent"
    subprocess.run(["strip", "-o", stripped, agent_binary()], check=True, timeout=120)
    # A debug build links Swift's own libraries, which belong to no package.
    command = [PROJECT / "tools" / "build-deb.sh", stripped, folder / "out", "--ignore-missing-info"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.strip())
