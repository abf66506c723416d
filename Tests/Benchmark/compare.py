"""The agent beside OpenBao's own, `bao agent`: in one run, against one server, with the same TTLs.

OpenBao's agent has no aws login, so it logs in by approle. Both go through the laboratory's front door, which counts
their requests; the aws login is the longer way of the two, for AWS credentials come first and STS is asked.
Prints a table with the aims, met or missed, and writes the figures to out/benchmark.json.
"""

import argparse
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from report import Aim, machine
from report import table as columns

from laboratory.agent import PROJECT, AgentRun
from laboratory.figures import Figures, figures, proportional_memory, woken_since
from laboratory.laboratory import Laboratory
from laboratory.processes import Child, LaboratoryError

TTL, MAXIMUM = 20, 60
STARTS = 7
MEGABYTE = 1e6


@dataclass
class Subject:
    """One of the two agents, running."""

    child: Child
    sink: Path
    folder: Path


@dataclass
class Result:
    to_token_s: float = 0
    resident_mb: float = 0
    peak_resident_mb: float = 0
    proportional_mb: float = 0
    anonymous_mb: float = 0
    cpu_ms_per_renewal: float = 0
    cpu_ms_per_request: float = 0
    requests_per_lease: float = 0
    renewals: int = 0
    logins: int = 0
    size_mb: float = 0
    threads: int = 0
    threads_idle: int = 0
    idle_wake_ups_per_s: float = 0
    idle_requests: int = 0
    starts_s: list[float] = field(default_factory=list)


class Benchmark:
    def __init__(self, laboratory: Laboratory, binary: Path):
        self.laboratory = laboratory
        self.binary = binary
        os.environ["VTA_BINARY"] = str(binary)
        bao = laboratory.bao
        bao.expect("POST", "sys/auth/approle", {"type": "approle"})
        laboratory.role("idle", ttl="24h")
        for role, ttl, maximum in (("app", f"{TTL}s", f"{MAXIMUM}s"), ("idle", "24h", "768h")):
            bao.expect("POST", f"auth/approle/role/{role}", {"token_ttl": ttl, "token_max_ttl": maximum})

    def ours(self, role: str) -> Subject:
        run: AgentRun = self.laboratory.agent(role=role)
        return Subject(run.child, run.sink, run.folder)

    def ours_at_rest(self) -> Subject:
        """Started anew: one that takes its token over asks about it at once, and then for 4.5 min no more."""
        folder = Path(tempfile.mkdtemp(prefix="idle-", dir=self.laboratory.folder))
        configuration = self.laboratory.configuration(folder, role="idle") | {"state_directory": str(folder)}
        first = self.laboratory.agent(folder=folder, configuration=configuration)
        first.wait_for_token(20)
        first.stop()
        run = self.laboratory.agent(folder=folder, configuration=configuration)
        return Subject(run.child, run.sink, run.folder)

    def peer(self, role: str) -> Subject:
        bao = self.laboratory.bao
        folder = Path(tempfile.mkdtemp(prefix="peer-", dir=self.laboratory.folder))
        role_id = bao.expect("GET", f"auth/approle/role/{role}/role-id")["data"]["role_id"]
        secret_id = bao.expect("POST", f"auth/approle/role/{role}/secret-id", {})["data"]["secret_id"]
        (folder / "role-id").write_text(role_id)
        (folder / "secret-id").write_text(secret_id)
        (folder / "agent.hcl").write_text(f"""
vault {{ address = "{self.laboratory.front_door.url}" }}
auto_auth {{
  method "approle" {{
    config = {{
      role_id_file_path = "{folder}/role-id"
      secret_id_file_path = "{folder}/secret-id"
      remove_secret_id_file_after_reading = false
    }}
  }}
  sink "file" {{ config = {{ path = "{folder}/token" }} }}
}}
""")
        child = Child(
            [bao.binary, "agent", f"-config={folder}/agent.hcl"],
            environment={"PATH": os.environ.get("PATH", ""), "HOME": str(folder)},
            output=folder / "log",
            directory=folder,
        )
        return Subject(child, folder / "token", folder)

    def wait_for_token(self, subject: Subject, seconds: float = 20) -> float:
        """Seconds from the start of the process until a valid token stands in its file."""
        while True:
            now = time.monotonic()
            if subject.sink.exists():
                token = subject.sink.read_text().strip()
                if token and self.laboratory.bao.remaining(token) is not None:
                    return now - subject.child.started
            if now - subject.child.started > seconds or not subject.child.running:
                raise LaboratoryError(f"no token from {subject.child.command[0]}:\n{subject.child.tail()}")
            time.sleep(0.001)

    def time_starts(self, start: Callable[[str], Subject]) -> list[float]:
        times = []
        for _ in range(STARTS):
            subject = start("app")
            times.append(self.wait_for_token(subject))
            subject.child.stop()
        return times

    def observe(self, seconds: float, results: dict[str, Result]) -> None:
        """Both at work and both idle, at the same time."""
        busy = {"ours": self.ours("app"), "peer": self.peer("app")}
        idle = {"ours": self.ours_at_rest(), "peer": self.peer("idle")}
        for subject in (*busy.values(), *idle.values()):
            self.wait_for_token(subject)
        # What belongs to the start is over: the transport keeps its connections for 30 s.
        time.sleep(40)
        began = time.monotonic()
        before = {name: figures(subject.child.pid) for name, subject in busy.items()}
        idle_before = {name: figures(subject.child.pid) for name, subject in idle.items()}
        tokens: dict[str, set[str]] = {name: {subject.sink.read_text().strip()} for name, subject in busy.items()}
        idle_tokens = {name: subject.sink.read_text().strip() for name, subject in idle.items()}
        samples: dict[str, list[Figures]] = {name: [] for name in busy}
        while time.monotonic() - began < seconds:
            time.sleep(0.25)
            for name, subject in busy.items():
                samples[name].append(figures(subject.child.pid))
                tokens[name].add(subject.sink.read_text().strip())
        lasted = time.monotonic() - began
        idle_after = {name: figures(subject.child.pid) for name, subject in idle.items()}
        exchanges = [each for each in self.laboratory.front_door.exchanges if each.at >= began]
        for name, result in results.items():
            asked = [each for each in exchanges if each.token in tokens[name]]
            path = "auth/aws/login" if name == "ours" else "auth/approle/login"
            result.logins = sum(each.path == path for each in exchanges)
            result.renewals = sum(each.path.endswith("/renew-self") for each in asked)
            leases = result.logins + result.renewals
            asked_in_all = len(asked) + result.logins
            result.requests_per_lease = asked_in_all / leases if leases else 0
            cpu = samples[name][-1].cpu_seconds - before[name].cpu_seconds
            result.cpu_ms_per_renewal = 1000 * cpu / result.renewals if result.renewals else 0
            result.cpu_ms_per_request = 1000 * cpu / asked_in_all if asked_in_all else 0
            result.resident_mb = max(each.resident for each in samples[name]) / MEGABYTE
            result.proportional_mb = proportional_memory(busy[name].child.pid) / MEGABYTE
            result.peak_resident_mb = samples[name][-1].peak_resident / MEGABYTE
            result.anonymous_mb = max(each.anonymous for each in samples[name]) / MEGABYTE
            result.threads = max(each.threads for each in samples[name])
            result.threads_idle = idle_after[name].threads
            result.idle_wake_ups_per_s = woken_since(idle_before[name], idle_after[name]) / lasted
            result.idle_requests = sum(each.token == idle_tokens[name] for each in exchanges)
        for subject in (*busy.values(), *idle.values()):
            subject.child.stop()

    def run(self, seconds: float) -> dict[str, Result]:
        results = {"ours": Result(), "peer": Result()}
        for name, start in (("ours", self.ours), ("peer", self.peer)):
            results[name].starts_s = self.time_starts(start)
            results[name].to_token_s = statistics.median(results[name].starts_s)
        self.observe(seconds, results)
        results["ours"].size_mb = self.binary.stat().st_size / MEGABYTE
        results["peer"].size_mb = self.laboratory.bao.binary.stat().st_size / MEGABYTE
        return results


ROWS = [
    ("start to valid token (median), s", "to_token_s"),
    ("resident memory at work, most, MB", "resident_mb"),
    ("peak resident memory, MB", "peak_resident_mb"),
    ("proportional memory (PSS), MB", "proportional_mb"),
    ("anonymous memory, MB", "anonymous_mb"),
    ("size of the binary, MB", "size_mb"),
    ("threads at work, most", "threads"),
    ("threads idle", "threads_idle"),
    ("wake-ups idle, /s", "idle_wake_ups_per_s"),
    ("requests idle", "idle_requests"),
    ("requests for a lease", "requests_per_lease"),
    ("CPU for a renewal, ms", "cpu_ms_per_renewal"),
    ("CPU for a request, ms", "cpu_ms_per_request"),
]


def table(results: dict[str, Result]) -> str:
    ours, peer = asdict(results["ours"]), asdict(results["peer"])
    cells = [(ours[key], peer[key], ours[key] / peer[key] if peer[key] else "-") for _, key in ROWS]
    return columns(
        "", ["agent", "bao agent", "ratio"], [(title, row) for (title, _), row in zip(ROWS, cells, strict=True)]
    )


def aims(results: dict[str, Result]) -> list[Aim]:
    ours, peer = results["ours"], results["peer"]
    idle = ours.idle_wake_ups_per_s
    return [
        Aim("start to valid token", ours.to_token_s, "s", "half of the peer's", ours.to_token_s <= peer.to_token_s / 2),
        Aim("resident memory at work", ours.resident_mb, "MB", "<= 15", ours.resident_mb <= 15),
        Aim("proportional memory", ours.proportional_mb, "MB", "<= 10", ours.proportional_mb <= 10),
        Aim("anonymous memory", ours.anonymous_mb, "MB", "<= 2", ours.anonymous_mb <= 2),
        Aim("size of the binary", ours.size_mb, "MB", "<= 8", ours.size_mb <= 8),
        Aim("threads at work, most", ours.threads, "", "<= 4", ours.threads <= 4),
        Aim("wake-ups idle", idle, "/s", "< 0.05", idle < 0.05),
        Aim("CPU for a request", ours.cpu_ms_per_request, "ms", "<= 0.8", ours.cpu_ms_per_request <= 0.8),
        Aim(
            "CPU for a renewal, lookups included",
            ours.cpu_ms_per_renewal,
            "ms",
            f"below the peer's {peer.cpu_ms_per_renewal:.2g}",
            ours.cpu_ms_per_renewal < peer.cpu_ms_per_renewal,
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=70, help="how long both are watched (default 70)")
    parser.add_argument("--binary", type=Path, default=PROJECT / "out" / "vault-token-agent")
    parser.add_argument("--output", type=Path, default=PROJECT / "out" / "benchmark.json")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"both agents, {STARTS} starts each, then {arguments.seconds:.0f} s at work and idle", flush=True)
    with Laboratory() as laboratory:
        results = Benchmark(laboratory, arguments.binary).run(arguments.seconds)
    print(table(results))
    found = aims(results)
    print("\n".join(str(aim) for aim in found))
    print(
        f"TTL {TTL} s, maximum {MAXIMUM} s. bao agent logs in by approle (OpenBao has no aws login), the agent by aws\n"
        "iam with credentials from IMDSv2. The agent also asks every tenth of a lease whether its token is alive, and\n"
        "refreshes its status file every 30 s. The size of bao is that of the whole program, server included."
    )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    written = {
        "machine": machine(),
        "ttl_s": TTL,
        "max_ttl_s": MAXIMUM,
        **{name: asdict(result) for name, result in results.items()},
        "aims": [asdict(aim) for aim in found],
    }
    arguments.output.write_text(json.dumps(written, indent=2) + "\n")
    print(f"written: {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
