"""What is made of the release build, and used by more than one file."""

import shutil
import subprocess
from pathlib import Path

import pytest
from release import built, release_binary

from laboratory.agent import PROJECT


@pytest.fixture(scope="session")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("dpkg-shlibdeps") is None:
        pytest.skip("not a Debian machine")
    return built("deb", tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The container image's root file system."""
    root = tmp_path_factory.mktemp("image") / "rootfs"
    subprocess.run([PROJECT / "tools" / "build-rootfs.sh", release_binary(), root], timeout=240, check=True)
    return root
