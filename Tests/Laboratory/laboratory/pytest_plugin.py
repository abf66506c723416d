"""pytest's side of the laboratory: one for each worker process, and the search for secrets after every test."""

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import places
from .agent import secret_files, unsearched
from .laboratory import Laboratory
from .processes import children
from .secret_search import insist_on_none

# promtool is there when the machine has none of its own, also for a run that make did not start.
os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:{Path(sys.prefix) / 'bin'}"

# Tests in a file that is over soon.
SMALL = 4

# Where it is set, as in continuous integration, a machine that cannot run a test fails it.
NO_SKIPS = bool(os.environ.get("NO_SKIPS"))

_laboratories: list[Laboratory] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    report = yield
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"no test may be skipped here (NO_SKIPS): {reason}"
    return report


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


@pytest.fixture(scope="module", autouse=True)
def _a_file_leaves_all_as_it_was() -> Iterator[None]:
    """What a file's own fixtures have made and changed lasts as long as its tests."""
    yield
    with contextlib.ExitStack() as stack:
        for laboratory in _laboratories:
            stack.callback(laboratory.return_to, laboratory.beginning)


@pytest.fixture(autouse=True)
def _a_test_leaves_all_as_it_was(request: pytest.FixtureRequest) -> Iterator[None]:
    """Ends every agent that the test left running, searches whatever any of them has left for secrets, and takes back
    what the test has done to the laboratories.
    """
    before = {id(laboratory): laboratory.mark() for laboratory in _laboratories}
    environment, directory, running = dict(os.environ), Path.cwd(), children()
    yield
    with contextlib.ExitStack() as stack:
        stack.callback(_compare, environment, directory, running)
        stack.callback(_search, request.node.funcargs.get("tmp_path"))
        for laboratory in _laboratories:
            stack.callback(laboratory.return_to, before.get(id(laboratory), laboratory.beginning))


def _search(folder: Path | None) -> None:
    """Output of commands, and all that stands in the test's own folder, for the secrets of all laboratories."""
    secrets = {secret for laboratory in _laboratories for secret in laboratory.secrets()}
    outputs = [(each.output + each.log).encode() for each in unsearched]
    unsearched.clear()
    found = {f"the output of command {number}": output for number, output in enumerate(outputs, 1)}
    if folder is not None:
        may_hold = {path for laboratory in _laboratories for path in laboratory.may_hold}
        may_hold.update(*(secret_files(path) for path in folder.rglob("*.json")))
        found |= places.files(folder, may_hold)
    insist_on_none(found, secrets)


def _compare(environment: dict[str, str], directory: Path, running: dict[int, str]) -> None:
    """What belongs to the worker itself."""
    now = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    environment.pop("PYTEST_CURRENT_TEST", None)
    assert now == environment, "the test leaves the environment changed"
    assert Path.cwd() == directory, "the test leaves the working directory changed"
    parts = {pid for laboratory in _laboratories for pid in laboratory.parts}
    left = {pid: command for pid, command in children().items() if pid not in running and pid not in parts}
    assert not left, f"the test leaves running: {left}"
