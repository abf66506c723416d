"""One process with 1, 10, 100 and 1,000 tokens: memory, CPU, requests, wake-ups, and how long until all are valid.

Every token has its own login and its own file, as a configuration with so many identities would. OpenBao issues,
renews and looks up all of them; the laboratory's front door counts the requests. So that the laboratory keeps up with
1,000 logins, its front door is told to be prompt (see FrontDoor): moto verifies each distinct signed request once.
Prints a table with the aims, met or missed, and writes the figures to out/scale.json.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from report import Aim, machine, table

from laboratory.agent import PROJECT, AgentRun
from laboratory.figures import Figures, figures, woken_since
from laboratory.laboratory import Laboratory
from laboratory.processes import LaboratoryError

SIZES = (1, 10, 100, 1000)
# Renewed after 66 to 78 s, looked up every 11 to 12 s.
BUSY_TTL = 120
BUSY_SECONDS = 90
# Looked up every five minutes, so many tokens are never quite at rest: their lookups are counted beside the wake-ups.
IDLE_TTL = "24h"
IDLE_SECONDS = 60
# The transport keeps its connections for 30 s.
SETTLING_SECONDS = 40
# One for its moment, one for its answer, and what follows now and then.
WAKE_UPS_OF_LOOKUP = 3


@dataclass
class Size:
    """What was measured with so many tokens in one process."""

    tokens: int
    valid_after_s: float = 0
    peak_requests_per_s: int = 0
    resident_mb: float = 0
    anonymous_mb: float = 0
    start_cpu_ms_per_token: float = 0
    cpu_ms_per_request: float = 0
    cpu_ms_per_renewal: float = 0
    renewals: int = 0
    requests: int = 0
    idle_wake_ups_per_s: float = 0
    idle_requests_per_s: float = 0
    idle_cpu_ms_per_s: float = 0
    threads: int = 0
    # The laboratory's own part: from a login's arrival at the front door to its answer.
    laboratory_ms_per_login: float = 0


class Load:
    """One agent that keeps `count` tokens, each in a file of its own."""

    def __init__(self, laboratory: Laboratory, count: int, role: str):
        self.count = count
        self.laboratory = laboratory
        folder = laboratory.folder / f"{role}-{count}"
        self.sinks = folder / "sinks"
        self.sinks.mkdir(parents=True)
        (folder / "state").mkdir()
        configuration = laboratory.configuration(folder, role=role)
        login = configuration["tokens"][0]
        configuration["tokens"] = [
            {**login, "name": f"token-{number:04}", "sinks": [{"type": "file", "path": str(self.path(number))}]}
            for number in range(count)
        ]
        configuration["state_directory"] = str(folder / "state")
        self.began_wall = time.time()
        self.began = time.monotonic()
        self.run: AgentRun = laboratory.agent(folder=folder, configuration=configuration)
        self.pid = self.run.child.pid

    def path(self, number: int) -> Path:
        return self.sinks / f"{number:04}"

    def wait_until_written(self, seconds: float) -> float:
        """Seconds from the start until the last file was there, by that file's own time."""
        while True:
            written = sum(1 for entry in os.scandir(self.sinks) if not entry.name.startswith("."))
            if written == self.count:
                return max(entry.stat().st_mtime for entry in os.scandir(self.sinks)) - self.began_wall
            if time.monotonic() - self.began > seconds or not self.run.child.running:
                raise LaboratoryError(f"{written} of {self.count} tokens after {seconds:g} s:\n{self.run.child.tail()}")
            time.sleep(0.05)

    def tokens(self) -> set[str]:
        return {self.path(number).read_text().strip() for number in range(self.count)}

    def check(self) -> None:
        """Every file holds a token of its own, and OpenBao says that it is valid."""
        tokens = self.tokens()
        if len(tokens) != self.count:
            raise LaboratoryError(f"{len(tokens)} different tokens in {self.count} files")
        with ThreadPoolExecutor(4) as pool:
            if None in pool.map(self.laboratory.bao.remaining, tokens):
                raise LaboratoryError("a file holds a token that is not valid")


def peak_rate(moments: list[float]) -> int:
    """Most requests in any one second."""
    peak = first = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= 1:
            first += 1
        peak = max(peak, last - first + 1)
    return peak


class Benchmark:
    def __init__(self, laboratory: Laboratory, sizes: tuple[int, ...]):
        self.laboratory = laboratory
        self.results = [Size(count) for count in sizes]
        laboratory.front_door.be_prompt()
        laboratory.role("idle", ttl=IDLE_TTL)
        laboratory.role("busy", ttl=f"{BUSY_TTL}s", max_ttl="24h")

    def start(self, result: Size, role: str) -> Load:
        load = Load(self.laboratory, result.tokens, role)
        result.valid_after_s = max(result.valid_after_s, load.wait_until_written(120))
        result.start_cpu_ms_per_token = 1000 * figures(load.pid).cpu_seconds / result.tokens
        time.sleep(1)
        # Its own: those that run beside it ask with other tokens, and logged in before.
        tokens = load.tokens()
        exchanges = [
            each
            for each in self.laboratory.front_door.exchanges
            if each.at >= load.began and (each.token in tokens or each.path.endswith("/login"))
        ]
        result.peak_requests_per_s = max(result.peak_requests_per_s, peak_rate(sorted(e.at for e in exchanges)))
        result.laboratory_ms_per_login = 1000 * statistics.median(
            each.took for each in exchanges if each.path.endswith("/login")
        )
        load.check()
        return load

    def rest(self) -> None:
        """All sizes with long leases at the same time: what each costs while nothing happens."""
        loads = [self.start(result, "idle") for result in self.results]
        time.sleep(SETTLING_SECONDS)
        before, began = self.look(loads)
        time.sleep(IDLE_SECONDS)
        after, ended = self.look(loads)
        exchanges = list(self.laboratory.front_door.exchanges)
        for result, load, (old, new) in zip(self.results, loads, zip(before, after, strict=True), strict=True):
            tokens = load.tokens()
            result.idle_requests_per_s = sum(began <= e.at <= ended and e.token in tokens for e in exchanges) / (
                ended - began
            )
            result.idle_wake_ups_per_s = woken_since(old, new) / (ended - began)
            result.idle_cpu_ms_per_s = 1000 * (new.cpu_seconds - old.cpu_seconds) / (ended - began)
            self.note_memory(result, new)
            load.run.stop()

    def work(self) -> None:
        """All sizes with short leases at the same time: what a renewal costs each."""
        loads = [self.start(result, "busy") for result in self.results]
        before, began = self.look(loads)
        threads = [0] * len(loads)
        while time.monotonic() < began + BUSY_SECONDS:
            time.sleep(0.5)
            threads = [max(most, figures(load.pid).threads) for most, load in zip(threads, loads, strict=True)]
        after, _ = self.look(loads)
        exchanges = [each for each in self.laboratory.front_door.exchanges if each.at >= began]
        for index, (result, load) in enumerate(zip(self.results, loads, strict=True)):
            tokens = load.tokens()
            asked = [each for each in exchanges if each.token in tokens]
            result.requests = len(asked)
            result.renewals = sum(each.path.endswith("/renew-self") for each in asked)
            cpu = 1000 * (after[index].cpu_seconds - before[index].cpu_seconds)
            result.cpu_ms_per_request = cpu / max(1, result.requests)
            result.cpu_ms_per_renewal = cpu / max(1, result.renewals)
            result.threads = threads[index]
            self.note_memory(result, after[index])
            load.check()
            load.run.stop()

    def look(self, loads: list[Load]) -> tuple[list[Figures], float]:
        return [figures(load.pid) for load in loads], time.monotonic()

    @staticmethod
    def note_memory(result: Size, now: Figures) -> None:
        result.resident_mb = max(result.resident_mb, now.peak_resident / 1e6)
        result.anonymous_mb = max(result.anonymous_mb, now.anonymous / 1e6)


COLUMNS = [
    ("start to all valid, s", "valid_after_s"),
    ("requests in the busiest second", "peak_requests_per_s"),
    ("peak resident memory, MB", "resident_mb"),
    ("anonymous memory, MB", "anonymous_mb"),
    ("CPU of the start, ms a token", "start_cpu_ms_per_token"),
    ("CPU per request, ms", "cpu_ms_per_request"),
    ("CPU per renewal, ms", "cpu_ms_per_renewal"),
    ("renewals seen", "renewals"),
    ("threads at work, most", "threads"),
    ("idle wake-ups, /s", "idle_wake_ups_per_s"),
    ("lookups among them, /s", "idle_requests_per_s"),
    ("idle CPU, ms/s", "idle_cpu_ms_per_s"),
    ("laboratory's part of a login, ms", "laboratory_ms_per_login"),
]


def aims(results: list[Size]) -> list[Aim]:
    few, many = results[0], results[-1]
    ten = results[1] if len(results) > 2 else few
    further = 1000 * (many.resident_mb - few.resident_mb) / (many.tokens - few.tokens)
    linear = many.cpu_ms_per_request / ten.cpu_ms_per_request
    # With one token a minute may or may not have a lookup in it.
    idle = few.idle_wake_ups_per_s - WAKE_UPS_OF_LOOKUP * few.idle_requests_per_s
    lookups = [(r.idle_wake_ups_per_s - idle) / r.idle_requests_per_s for r in results[1:] if r.idle_requests_per_s]
    lookup = max(lookups, default=0)
    count = f"{many.tokens:,} tokens"
    return [
        Aim(f"{count} valid after", many.valid_after_s, "s", "<= 10", many.valid_after_s <= 10),
        Aim("busiest second", many.peak_requests_per_s, "requests", "<= 200", many.peak_requests_per_s <= 200),
        Aim("memory of a further token", further, "kB", "<= 20", further <= 20),
        Aim(f"CPU per request, {many.tokens:,} to {ten.tokens:,} tokens", linear, "", "<= 1.1 (linear)", linear <= 1.1),
        Aim(f"idle wake-ups with {few.tokens}, beside lookups", idle, "/s", "< 0.05", idle < 0.05),
        Aim(
            "wake-ups for a lookup at rest, most", lookup, "", f"<= {WAKE_UPS_OF_LOOKUP}", lookup <= WAKE_UPS_OF_LOOKUP
        ),
        Aim("threads at work, most", max(r.threads for r in results), "", "<= 5", all(r.threads <= 5 for r in results)),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=Path, default=PROJECT / "out" / "vault-token-agent")
    parser.add_argument("--output", type=Path, default=PROJECT / "out" / "scale.json")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of tokens, ascending")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ["VTA_BINARY"] = str(arguments.binary)
    sizes = tuple(int(size) for size in arguments.sizes.split(","))
    print(
        f"one process with {', '.join(map(str, sizes))} tokens: at rest, then at work; takes about 4 minutes",
        flush=True,
    )
    with Laboratory() as laboratory:
        benchmark = Benchmark(laboratory, sizes)
        steps: list[Callable[[], None]] = [benchmark.rest, benchmark.work]
        for step in steps:
            step()
    results = benchmark.results
    print(table("tokens", [f"{size:,}" for size in sizes], [(t, [getattr(r, k) for r in results]) for t, k in COLUMNS]))
    found = aims(results)
    print("\n".join(str(aim) for aim in found))
    print(
        f"At work: TTL {BUSY_TTL} s, all sizes at once, {BUSY_SECONDS} s. At rest: TTL {IDLE_TTL}, all sizes at once, "
        f"{IDLE_SECONDS} s.\nThe laboratory shares the machine: its part of a login is in the time until all are valid."
    )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    written = {
        "machine": machine(),
        "sizes": [asdict(result) for result in results],
        "aims": [asdict(aim) for aim in found],
    }
    arguments.output.write_text(json.dumps(written, indent=2) + "\n")
    print(f"written: {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
