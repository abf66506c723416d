#!/usr/bin/env python3
"""Feeds every reader of foreign bytes what libFuzzer thinks of, under the address sanitizer; prints a table.

usage: tools/fuzz.py [--seconds 60 | --inputs 40000] [TARGET …]

Begins with Tests/Fuzzing/Corpora/TARGET. What it finds of interest goes to .build-fuzz/corpora, for the next run here.
With --inputs it feeds so many, which are the same each time: what breaks then was broken by a change of the code.
An input that breaks a promise goes to .build-fuzz/found, and the exit status is 1. Two targets run at a time.
"""

import argparse
import concurrent.futures
import contextlib
import ctypes
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SCRATCH = PROJECT / ".build-fuzz"
FOUND = SCRATCH / "found"
# No reader needs more to be led anywhere.
LONGEST = 4_096
# Of sys/personality.h.
ADDR_NO_RANDOMIZE = 0x0040000
# Seconds for a target that is given so many inputs, however slow the machine.
LIMIT = 900
# One input that takes longer is a fault: seconds, under instrumentation and beside other work.
SLOWEST = 20
MEMORY_MB = 2_048


def build() -> Path:
    flags = ["-c", "release", "--product", "fuzz", "--scratch-path", str(SCRATCH)]
    flags += [f"-Xswiftc={flag}" for flag in ("-enable-testing", "-sanitize=fuzzer,address")]
    # A library's C is called through its headers only; it needs no sanitizer of its own.
    environment = os.environ | {"VTA_FUZZ": "1"}
    subprocess.run(["swift", "build", *flags], cwd=PROJECT, env=environment, check=True)
    return SCRATCH / "release" / "fuzz"


def run(program: Path, target: str, seconds: int, inputs: int | None) -> tuple[str, list[str], bool]:
    seeds = PROJECT / "Tests" / "Fuzzing" / "Corpora" / target
    FOUND.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as ends:
        variables = {"FUZZ_TARGET": target, "PATH": os.environ["PATH"], "SWIFT_BACKTRACE": "enable=no"}
        if inputs is None:
            kept, extent = SCRATCH / "corpora" / target, [f"-max_total_time={seconds}"]
            kept.mkdir(parents=True, exist_ok=True)
        else:
            kept = Path(ends.enter_context(tempfile.TemporaryDirectory(dir=SCRATCH)))
            extent = [f"-runs={inputs}", "-seed=1"]
            # libFuzzer goes by the paths that code takes, and those through a hash table must be the same too.
            variables["SWIFT_DETERMINISTIC_HASHING"] = "1"
        done = subprocess.run(
            [
                program,
                *extent,
                f"-max_len={LONGEST}",
                f"-timeout={SLOWEST}",
                f"-rss_limit_mb={MEMORY_MB}",
                f"-artifact_prefix={FOUND}/{target}-",
                "-print_final_stats=1",
                kept,
                *([seeds] if seeds.is_dir() else []),
            ],
            env=variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=LIMIT if inputs else seconds + 20 * SLOWEST,
        )
    (SCRATCH / f"{target}.log").write_text(done.stderr)
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    edges = re.findall(r"cov: (\d+)", done.stderr)
    inputs = re.findall(r"corp: (\d+)", done.stderr)
    cells = [target, runs[1] if runs else "?", edges[-1] if edges else "?", inputs[-1] if inputs else "?"]
    return target, [*cells, "held" if done.returncode == 0 else verdict(done.stderr)], done.returncode == 0


def verdict(log: str) -> str:
    for pattern in (r"broken promise: .*", r"ERROR: \w+Sanitizer: .*", r"ERROR: libFuzzer: .*", r"Fatal error: .*"):
        found = re.search(pattern, log)
        if found:
            return found[0][:100]
    return "ended badly"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    extent = arguments.add_mutually_exclusive_group()
    extent.add_argument("--seconds", type=int, default=60, help="for each target")
    extent.add_argument("--inputs", type=int, help="for each target, the same each time")
    arguments.add_argument("targets", nargs="*")
    given = arguments.parse_args()
    program = build()
    if given.inputs:
        # Inherited by the targets: libFuzzer looks at values that are compared, addresses among them. Where this is
        # refused, as in some containers, a few inputs are others each time.
        ctypes.CDLL(None).personality(ADDR_NO_RANDOMIZE)
    known = subprocess.run([program], capture_output=True, text=True, check=True, env={}).stdout.split()
    unknown = set(given.targets) - set(known)
    if unknown:
        sys.exit(f"fuzz: no target {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        outcomes = list(
            pool.map(lambda target: run(program, target, given.seconds, given.inputs), given.targets or known)
        )
    table = [["target", "runs", "edges", "inputs kept", "outcome"], *(row for _, row, _ in outcomes)]
    widths = [max(len(row[column]) for row in table) for column in range(5)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    broken = [target for target, _, held in outcomes if not held]
    for target in broken:
        # Where the folder is gone with the machine, the input is not.
        print(*re.findall(r"^Base64: .*$", (SCRATCH / f"{target}.log").read_text(), re.MULTILINE), sep="\n")
    if broken:
        print(f"what broke {', '.join(broken)} is in {FOUND}; the logs are beside it")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
