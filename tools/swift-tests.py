#!/usr/bin/env python3
"""Runs the Swift tests, which are built, and lists those that were skipped. With NO_SKIPS=1, as in continuous
integration, a skipped one is red.

usage: tools/swift-tests.py [REPORT]; REPORT: the file for a report in JUnit's form, none by default.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

COMMAND = ("swift", "test", "--skip-build", "--enable-swift-testing", "--disable-xctest")


def skipped(report: Path) -> list[str]:
    """Each that was skipped, and why. Raises what keeps the report from being read: it tells nothing then."""
    return [
        f"{case.get('classname')}.{case.get('name')}: {reason.text or 'no reason given'}"
        for case in ElementTree.parse(report).iter("testcase")
        if (reason := case.find("skipped")) is not None
    ]


def main(report: Path) -> int:
    done = subprocess.run([*COMMAND, "--xunit-output", report], check=False)
    if done.returncode != 0:
        return 1
    found = skipped(report)
    for test in found:
        print(f"skipped: {test}", flush=True)
    if found and os.environ.get("NO_SKIPS"):
        print(f"no test may be skipped here (NO_SKIPS): {len(found)} were", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        raise SystemExit(main(Path(sys.argv[1] if len(sys.argv) > 1 else f"{folder}/report.xml")))
