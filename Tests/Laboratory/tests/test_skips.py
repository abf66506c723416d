"""A skip is listed with its reason where a machine lacks something, and red where nothing may be missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = """
import pytest

@pytest.mark.skipif(True, reason="no such machine")
def test_by_mark():
    raise AssertionError

@pytest.fixture
def missing():
    pytest.skip("no such part")

def test_by_fixture(missing):
    raise AssertionError

def test_that_runs():
    pass
"""


@pytest.mark.parametrize(("allowed", "status"), [(True, 0), (False, 1)])
def test_skips_are_red_where_none_may_be(tmp_path: Path, allowed: bool, status: int):
    (tmp_path / "test_suite.py").write_text(SUITE)
    environment = {**os.environ, "NO_SKIPS": "" if allowed else "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "laboratory.pytest_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert ("1 passed, 2 skipped" if allowed else "1 passed, 2 errors") in done.stdout
    assert "no such machine" in done.stdout and "no such part" in done.stdout
