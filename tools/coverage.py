#!/usr/bin/env python3
"""Runs all Swift tests and the end-to-end tests with a build that counts which lines are executed; prints a table.

usage: tools/coverage.py [--files ROOM]

The build is one of its own, in .build-coverage; counters stand in a file that is mapped into the process: an agent that
is killed, or ends by _exit, has counted all the same. `--files` prints the files of a room after the table, and where
nobody has been in them. The exit status is 1 where tests were red or a room is below its aim.
"""

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
BUILD = PROJECT / ".build-coverage"
PRODUCTS = BUILD / "debug"
AGENT, TESTS = PRODUCTS / "vault-token-agent", PRODUCTS / "vault-token-agentPackageTests.xctest"
FLAGS = ["-profile-generate", "-profile-coverage-mapping", "-Xllvm", "-runtime-counter-relocation"]
# Rooms that compute and do nothing else.
PURE = {"Timekeeping", "Diagnosis", "TokenLifecycle", "SecretJSON"}
# Test support, which ships with nothing.
LEFT_OUT = {"SimulatedWorld", "simulation"}
# What percentage of its lines is to be executed.
AIM_OF_PURE, AIM = 95, 85


@dataclass
class Room:
    lines: int = 0
    executed: int = 0
    missed: dict[str, list[int]] = field(default_factory=dict)

    @property
    def share(self) -> float:
        return 100 * self.executed / self.lines if self.lines else 100


def run(name: str, command: list[str | Path], **variables: str) -> bool:
    """Whether the command held. What it prints goes to a file of this name beside the build."""
    log = BUILD / f"{name}.log"
    environment = os.environ | {"SWIFT_BACKTRACE": "enable=no"} | variables
    with log.open("w") as output:
        done = subprocess.run(
            command, cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    if done.returncode != 0:
        print(f"{name}: status {done.returncode}, see {log}", file=sys.stderr)
        print("\n".join(log.read_text(errors="replace").splitlines()[-20:]), file=sys.stderr)
    return done.returncode == 0


def of_toolchain(tool: str) -> Path:
    """The compiler's own: one of another version, as Debian's may be, does not read its profiles."""
    told = subprocess.run(["swiftc", "-print-target-info"], capture_output=True, check=True).stdout
    return Path(json.loads(told)["paths"]["runtimeResourcePath"]).parents[1] / "bin" / tool


def executed_lines(file: dict) -> Counter[bool]:
    """By line, whether it was executed: as llvm-cov's own summary counts them."""
    lines = file["summary"]["lines"]
    return Counter({True: lines["covered"], False: lines["count"] - lines["covered"]})


def missed_lines(file: dict) -> list[int]:
    """The first lines of regions that nobody entered."""
    # line, column, count, has a count, enters a region, is a gap
    return [
        line for line, _, count, counts, enters, gap in file["segments"] if counts and enters and not gap and not count
    ]


def rooms(profile: Path) -> dict[str, Room]:
    report = [of_toolchain("llvm-cov"), "export", "-instr-profile", profile]
    command = [*report, AGENT, "-object", TESTS, PROJECT / "Sources"]
    found: dict[str, Room] = {}
    for file in json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["data"][0]["files"]:
        path = Path(file["filename"]).relative_to(PROJECT / "Sources")
        if path.parts[0] in LEFT_OUT:
            continue
        room = found.setdefault(path.parts[0], Room())
        counted = executed_lines(file)
        room.lines += counted.total()
        room.executed += counted[True]
        if counted[False]:
            room.missed[str(path)] = missed_lines(file)
    return found


def table(found: dict[str, Room]) -> bool:
    """Prints it, and tells whether every room reaches its aim."""
    held = True
    for name, room in sorted(found.items()):
        aim = AIM_OF_PURE if name in PURE else AIM
        held = held and room.share >= aim
        below = "" if room.share >= aim else f"  below {aim}"
        print(f"{name:24} {room.executed:6} of {room.lines:6} lines {room.share:6.1f} %{below}")
    lines, executed = (sum(getattr(room, part) for room in found.values()) for part in ("lines", "executed"))
    print(f"{'all':24} {executed:6} of {lines:6} lines {100 * executed / lines:6.1f} %")
    return held


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--files", metavar="ROOM", help="the files of this room, and what of them nobody executed")
    arguments.add_argument("--workers", default="6", help="so many end-to-end tests at a time")
    given = arguments.parse_args()
    BUILD.mkdir(exist_ok=True)
    flags = [part for flag in FLAGS for part in ("-Xswiftc", flag)]
    if not run("build", ["swift", "build", "--build-tests", "--scratch-path", BUILD, *flags]):
        return 1
    profiles = BUILD / "profiles"
    profiles.mkdir(exist_ok=True)
    for former in profiles.iterdir():
        former.unlink()
    counters = {"LLVM_PROFILE_FILE": str(profiles / "%c%m.profraw"), "VTA_BINARY": str(AGENT)}
    held = run("swift", ["tools/leaving-nothing.sh", TESTS, "--testing-library", "swift-testing"], **counters)
    python = '.venv/bin/python -m pytest --basetemp="$TMPDIR/pytest" -c Tests/pytest.ini -n "$1" Tests/EndToEnd'
    held &= run("end-to-end", ["tools/leaving-nothing.sh", "sh", "-c", python, "sh", given.workers], **counters)
    profile = BUILD / "merged.profdata"
    if not run("merge", [of_toolchain("llvm-profdata"), "merge", "-sparse", *profiles.iterdir(), "-o", profile]):
        return 1
    found = rooms(profile)
    reached = table(found)
    if given.files:
        for path, lines in sorted(found[given.files].missed.items()):
            print(f"{path}: {', '.join(map(str, sorted(set(lines))))}")
    return 0 if held and reached else 1


if __name__ == "__main__":
    sys.exit(main())
