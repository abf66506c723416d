"""The release build, of which packages and images are made: `make binary` puts it there, and `make test` does."""

import os
from pathlib import Path

import pytest

from laboratory.agent import PROJECT

LINK_MAP = PROJECT / "out" / "vault-token-agent.map"


def release_binary() -> Path:
    binary = Path(os.environ.get("VTA_RELEASE") or PROJECT / "out" / "vault-token-agent").absolute()
    if not binary.exists():
        pytest.skip("there is no release build: make binary makes it")
    return binary


def is_lean() -> bool:
    """Whether the set-up could build a libcurl; else the system's shared one stands in, and brings what it brings."""
    return (PROJECT / ".libraries" / "lib" / "libcurl-chosen.a").exists()
