"""pytest's side of the laboratory: one for each worker process, and the search for secrets after every test."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .laboratory import Laboratory

# promtool is there when the machine has none of its own, also for a run that make did not start.
os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:{Path(sys.prefix) / 'bin'}"

_laboratories: list[Laboratory] = []


@pytest.fixture(scope="session")
def lab() -> Iterator[Laboratory]:
    with Laboratory() as laboratory:
        _laboratories.append(laboratory)
        yield laboratory


@pytest.fixture(scope="session")
def tls_lab() -> Iterator[Laboratory]:
    with Laboratory(tls=True) as laboratory:
        _laboratories.append(laboratory)
        yield laboratory


@pytest.fixture(autouse=True)
def _no_secret_is_ever_written() -> Iterator[None]:
    """Ends every agent that the test left running and searches whatever any of them wrote."""
    yield
    for laboratory in _laboratories:
        laboratory.end_runs()
