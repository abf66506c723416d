"""Whether the agent grows with what it has done: its anonymous memory over many renewals of many tokens.

Prints the memory each so many renewals, and how much there is more at the end than once all has been done a few times.
100,000 renewals take about 40 minutes with the laboratory on two CPUs: --renewals 100000.
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from report import Aim, machine

from laboratory.agent import PROJECT, AgentRun
from laboratory.figures import figures
from laboratory.laboratory import Laboratory
from laboratory.processes import LaboratoryError

TOKENS = 250
# Renewed each 6 s or so, looked up between two renewals.
TTL = 10
# After so many renewals of each token all that is kept has been made.
WARM = 4
LARGEST_KB = 1_000


def start(laboratory: Laboratory) -> AgentRun:
    laboratory.role("growth", ttl=f"{TTL}s", max_ttl="768h")
    folder = laboratory.folder / "growth"
    (folder / "sinks").mkdir(parents=True)
    configuration = laboratory.configuration(folder, role="growth")
    token = configuration["tokens"][0]
    configuration["tokens"] = [
        {**token, "name": f"token-{number}", "sinks": [{"type": "file", "path": str(folder / "sinks" / str(number))}]}
        for number in range(TOKENS)
    ]
    return laboratory.agent(folder=folder, configuration=configuration)


def watch(laboratory: Laboratory, renewals: int) -> list[tuple[int, int]]:
    """Renewals so far and bytes of anonymous memory, from when the agent is warm until so many more."""
    run = start(laboratory)
    seen: list[tuple[int, int]] = []
    began = time.monotonic()
    while not seen or seen[-1][0] - seen[0][0] < renewals:
        time.sleep(5)
        if not run.child.running:
            raise LaboratoryError(f"the agent has ended:\n{run.child.tail()}")
        count = laboratory.front_door.count(path_ends="/renew-self")
        if count >= WARM * TOKENS:
            seen.append((count, figures(run.child.pid).anonymous))
        elif time.monotonic() - began > 20 * WARM * TTL:
            raise LaboratoryError(f"only {count} renewals in {time.monotonic() - began:.0f} s")
    run.stop()
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--renewals", type=int, default=5_000, help="how many are watched (default 5,000)")
    parser.add_argument("--binary", type=Path, default=PROJECT / "out" / "vault-token-agent")
    parser.add_argument("--output", type=Path, default=PROJECT / "out" / "growth.json")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ["VTA_BINARY"] = str(arguments.binary)
    with Laboratory() as laboratory:
        laboratory.front_door.be_prompt()
        seen = watch(laboratory, arguments.renewals)
    for count, anonymous in seen[:: max(1, len(seen) // 10)]:
        print(f"{count:>9,} renewals  {anonymous / 1e6:.2f} MB anonymous")
    # Of the first and the last quarter the least: between, memory goes up and down with what is under way.
    quarter = max(1, len(seen) // 4)
    grown = (min(a for _, a in seen[-quarter:]) - min(a for _, a in seen[:quarter])) / 1e3
    count = seen[-1][0] - seen[0][0]
    aim = Aim(f"growth over {count:,} renewals", grown, "kB", f"<= {LARGEST_KB}", grown <= LARGEST_KB)
    print(aim)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps({"machine": machine(), "seen": seen, "grown_kb": grown}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
