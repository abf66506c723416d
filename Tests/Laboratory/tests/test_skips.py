"""A skip is listed with its reason where a machine lacks something, and red where nothing may be missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]

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


REPORT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="TestResults" errors="0" tests="1" failures="0" skipped="1" time="0.1">
    <testcase classname="RoomTests.SomeTests" name="runs()" time="0.1" />
    <testcase classname="RoomTests.SomeTests" name="isSkipped()" >
      <skipped>this machine has no ::1</skipped>
    </testcase>
  </testsuite>
</testsuites>
"""


@pytest.mark.parametrize(
    ("report", "allowed", "status", "told"),
    [
        (REPORT, True, 0, "skipped: RoomTests.SomeTests.isSkipped(): this machine has no ::1"),
        (REPORT, False, 1, "no test may be skipped here (NO_SKIPS): 1 were"),
        (REPORT.replace("skipped>", "system-out>"), False, 0, ""),
        ("<testsuites>", False, 1, "ParseError"),
        ("", True, 1, "ParseError"),
    ],
)
def test_skips_of_swift_tests_are_red_where_none_may_be(tmp_path, report, allowed, status, told):
    """STAND-IN for `swift test`: every test of the project runs here; its report is as Swift's writes it."""
    (tmp_path / "written").write_text(report)
    stand_in = tmp_path / "swift"
    stand_in.write_text(f'#!/bin/sh\nwhile [ "$1" != --xunit-output ]; do shift; done\ncp {tmp_path}/written "$2"\n')
    stand_in.chmod(0o755)
    environment = {**os.environ, "NO_SKIPS": "" if allowed else "1", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [PROJECT / "tools" / "swift-tests.py"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert told in done.stdout + done.stderr
