#!/usr/bin/env python3
"""Runs the tests again and again, the second half of the rounds with every core kept busy, and tells what was ever red.

usage: tools/test-again.py ROUNDS [swift|python|sim]...; without a part, all of them. `make test-again` builds first.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

PROJECT = Path(__file__).resolve().parents[1]
PARTS = ("swift", "python", "sim")
# No part takes so long, on any machine: what still runs then hangs.
LIMIT = 3_600
# Computes until the process that started it is gone, or the time is up.
BUSY = """
import os, sys, time
parent, end = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
while os.getppid() == parent and time.monotonic() < end:
    pass
"""


class Load:
    """A process for each core that does nothing but compute, while the context lasts."""

    def __init__(self, wanted: bool):
        self._count = len(os.sched_getaffinity(0)) if wanted else 0

    def __enter__(self) -> None:
        command = [sys.executable, "-c", BUSY, str(os.getpid()), str(len(PARTS) * LIMIT)]
        self._processes = [subprocess.Popen(command) for _ in range(self._count)]

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def red_tests(report: Path) -> set[str]:
    """The names of those that failed, of a report in JUnit's form; one that is not there or not whole names none."""
    try:
        cases = ElementTree.parse(report).iter("testcase")
        return {
            f"{case.get('classname')}.{case.get('name')}"
            for case in cases
            if case.find("failure") is not None or case.find("error") is not None
        }
    except (OSError, ElementTree.ParseError):
        return set()


def left_unfinished(log: str) -> list[str]:
    """The Swift tests that had begun and not ended when their process did."""
    names = {}
    for line in log.splitlines():
        mark, _, rest = line.partition(" ")
        if rest.startswith("Test ") and not rest.startswith("Test case "):
            name = rest.removeprefix("Test ").rsplit('"', 1)[0].lstrip('"') if '"' in rest else rest.split()[1]
            if rest.endswith(" started."):
                names[name] = None
            elif mark in "✔✘":
                names.pop(name, None)
    return list(names)


def run(part: str, number: int, folder: Path) -> set[str]:
    """One part, once: what was red in it. Its output stays in the folder."""
    report, log = folder / f"{number}-{part}.xml", folder / f"{number}-{part}.log"
    began = time.monotonic()
    with log.open("w") as output:
        environment = {**os.environ, "REPORT": str(report)}
        command = ["make", "--no-print-directory", f"{part}-run"]
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=PROJECT, env=environment, process_group=0)
        try:
            status = process.wait(LIMIT)
        except BaseException as reason:
            os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
            if not isinstance(reason, subprocess.TimeoutExpired):
                raise
    red = red_tests(report)
    if status != 0 and not red:
        begun = left_unfinished(log.read_text(errors="replace")) if part == "swift" else []
        red = {f"{part}, which ended with {status}" + (f" in one of: {', '.join(begun[:8])}" if begun else "")}
    print(f"  {part:<6} {time.monotonic() - began:6.0f} s  {f'{len(red)} red: {log}' if red else 'green'}", flush=True)
    return red


def main(rounds: int, parts: list[str]) -> int:
    folder = Path(tempfile.mkdtemp(prefix="test-again-"))
    red: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    quiet = rounds - rounds // 2
    for number in range(1, rounds + 1):
        busy = number > quiet
        print(f"round {number} of {rounds}{', every core kept busy' if busy else ''}", flush=True)
        with Load(busy):
            for part in parts:
                for name in run(part, number, folder):
                    red[name][busy] += 1
    print(f"\n| ever red in {rounds} rounds | of {quiet} without load | of {rounds - quiet} with load |\n|---|---|---|")
    for name, (without, under) in sorted(red.items(), key=lambda item: (-sum(item[1]), item[0])):
        print(f"| {name} | {without} | {under} |")
    print(f"\n{len(red)} red" + (f"; logs and reports: {folder}" if red else ""))
    return 1 if red else 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or not sys.argv[1].isdecimal() or int(sys.argv[1]) < 1 or not set(sys.argv[2:]) <= set(PARTS):
        raise SystemExit(__doc__)
    raise SystemExit(main(int(sys.argv[1]), sys.argv[2:] or list(PARTS)))
