"""The Debian package of the release build."""

from pathlib import Path

import pytest
from release import built


@pytest.fixture(scope="session")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("deb", tmp_path_factory.mktemp("deb"))
