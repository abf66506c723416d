#!/usr/bin/env python3
"""Runs all Swift tests, and the agent at work in the laboratory, under sanitizers; prints a table.

usage: tools/sanitize.py [--seconds 60] [address|thread …]

Each has a build of its own, in .build-address and .build-thread. While one is tested the next is built. The agent's own
logs are searched for reports by the laboratory. The exit status is 1 where anything was red.
"""

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SANITIZERS = PROJECT / "Tests" / "Sanitizers"
MUTEX = "contended-mutex.so"
OPTIONS = {
    # The agent ends by _exit, after which nothing is searched for leaks: those are for the tests' process.
    "address": {
        "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
        "LSAN_OPTIONS": f"suppressions={SANITIZERS}/leaks.suppressions:print_suppressions=0",
    },
    "thread": {"TSAN_OPTIONS": "second_deadlock_stack=1", "LD_PRELOAD": str(PROJECT / ".build-thread" / MUTEX)},
}
# Seconds after which what still runs hangs.
LIMIT = 2_400


@dataclass(frozen=True)
class Outcome:
    part: str
    seconds: float
    held: bool
    found: str  # what it counted, or the first report


def run(sanitizer: str, part: str, command: list[str], **variables: str) -> Outcome:
    log = PROJECT / f".build-{sanitizer}" / f"{part.replace(' ', '-')}.log"
    log.parent.mkdir(exist_ok=True)
    began = time.monotonic()
    with log.open("w") as output:
        environment = os.environ | {"SWIFT_BACKTRACE": "enable=no"} | variables
        process = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            status = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
    text = log.read_text(errors="replace")
    reports = re.findall(r"(?:ERROR|WARNING): \w+Sanitizer: .*|SUMMARY: \w+Sanitizer: .*", text)
    if status == 0 and not reports:
        counted = re.findall(r"\d+ (?:tests|passed)", text)
        return Outcome(f"{sanitizer}: {part}", time.monotonic() - began, True, counted[-1] if counted else "")
    print("\n".join(text.splitlines()[-80:]), file=sys.stderr)
    found = reports[0] if reports else f"status {status}"
    return Outcome(f"{sanitizer}: {part}", time.monotonic() - began, False, f"{found[:120]}; {log}")


def build(sanitizer: str) -> Outcome:
    folder = f".build-{sanitizer}"
    command = f"swift build --build-tests --sanitize={sanitizer} --scratch-path {folder}"
    if sanitizer == "thread":
        command += f" && clang -O1 -shared -fPIC -o {folder}/{MUTEX} Tests/Sanitizers/contended_mutex.c"
    return run(sanitizer, "build", ["sh", "-ec", command])


def suite(sanitizer: str) -> Outcome:
    command = ["tools/leaving-nothing.sh", "swift", "test", "--skip-build", f"--sanitize={sanitizer}"]
    command += ["--scratch-path", f".build-{sanitizer}", "--enable-swift-testing", "--disable-xctest"]
    return run(sanitizer, "Swift tests", command, **OPTIONS[sanitizer])


def at_work(sanitizer: str, seconds: int) -> Outcome:
    pytest = '.venv/bin/python -m pytest -c Tests/pytest.ini --basetemp="$TMPDIR/pytest" Tests/Sanitizers'
    command = ["tools/leaving-nothing.sh", "sh", "-c", pytest]
    agent = PROJECT / f".build-{sanitizer}" / "debug" / "vault-token-agent"
    told = {"VTA_BINARY": str(agent), "AT_WORK_SECONDS": str(seconds), "SANITIZER": json.dumps(OPTIONS[sanitizer])}
    return run(sanitizer, "agent at work", command, **told)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=int, default=60, help="how long the agent is at work")
    arguments.add_argument("sanitizers", nargs="*", help="address, thread; both by default")
    given = arguments.parse_args()
    wanted = given.sanitizers or list(OPTIONS)
    if unknown := set(wanted) - set(OPTIONS):
        sys.exit(f"sanitize: no sanitizer {', '.join(sorted(unknown))}; there are {', '.join(OPTIONS)}")
    outcomes: list[Outcome] = []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        begun = []
        for sanitizer in wanted:
            built = build(sanitizer)
            outcomes.append(built)
            if built.held:
                begun += [pool.submit(suite, sanitizer), pool.submit(at_work, sanitizer, given.seconds)]
        outcomes += [future.result() for future in begun]
    for each in outcomes:
        print(f"{each.part:24} {each.seconds:5.0f} s  {'clean' if each.held else 'RED'}  {each.found}".rstrip())
    return 0 if all(each.held for each in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
