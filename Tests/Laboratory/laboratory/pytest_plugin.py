"""pytest's side of the laboratory: one for each worker process, and the search for secrets after every test."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from .laboratory import Laboratory

# promtool is there when the machine has none of its own, also for a run that make did not start.
os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:{Path(sys.prefix) / 'bin'}"

# Tests in a file that is over soon.
SMALL = 4

_laboratories: list[Laboratory] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In which order workers take files up: first those marked `long`, the longest before the others. A worker is given
    its second file before it is through with its first, so the smallest come next: they are no loss when they wait.
    Then the largest, so that none of them is left for the end.
    """
    sizes = Counter(item.path for item in items)

    def place(item: pytest.Item) -> tuple[int, float]:
        long = item.get_closest_marker("long")
        if long:
            return 0, -long.args[0]
        size = sizes[item.path]
        return (1, size) if size <= SMALL else (2, -size)

    items.sort(key=place)


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
