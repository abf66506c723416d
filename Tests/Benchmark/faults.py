"""What happens when: the rows of README's table, each brought about once, with figures for a reader of the file.

A row has an agent of its own. A reader opens the file ten times a second and asks OpenBao whether the token in it is
valid. Tokens live 20 s; their longest life is 60 s, or an hour where a row is about one token.
"""

import argparse
import datetime
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from report import machine

from laboratory.agent import PROJECT, AgentRun, Reader, agent_binary
from laboratory.aws import sts_error
from laboratory.faults import Fault
from laboratory.laboratory import Laboratory
from laboratory.processes import LaboratoryError, wait_until

OUTAGE = 40
FAULTS = [fault for fault in Fault if fault is not Fault.NONE]
Row = tuple[str, str]


@contextmanager
def read(laboratory: Laboratory, run: AgentRun):
    run.wait_for_token(20)
    reader = Reader(run, laboratory.bao.remaining)
    reader.start()
    try:
        yield reader
    finally:
        reader.end()


def polls(reader: Reader) -> str:
    return f"{sum(poll.valid for poll in reader.polls)} of {len(reader.polls)} polls found a valid token"


def until(true: Callable[[], object], what: str, seconds: float = 60) -> float:
    """How long it took."""
    return wait_until(lambda: bool(true()), seconds, what)


def vault_away(laboratory: Laboratory) -> Row:
    proxies = {fault: laboratory.fault_proxy() for fault in FAULTS}
    runs = {fault: laboratory.agent(address=proxy.url) for fault, proxy in proxies.items()}
    readers = {}
    for fault, run in runs.items():
        run.wait_for_token(20)
        readers[fault] = Reader(run, laboratory.bao.remaining)
        readers[fault].start()
    before = {fault: proxy.requests for fault, proxy in proxies.items()}
    for fault, proxy in proxies.items():
        proxy.set(fault)
    time.sleep(OUTAGE)
    most = max(proxies[fault].requests - before[fault] for fault in FAULTS)
    ends = {}
    for fault, proxy in proxies.items():
        proxy.set(Fault.NONE)
        ends[fault] = time.monotonic()
    time.sleep(5)
    back = {}
    for fault, reader in readers.items():
        reader.end()
        back[fault] = (reader.first_valid(after=ends[fault]) or math.inf) - ends[fault]
        runs[fault].stop()
    times = sorted(back.values())
    return (
        "Vault is away",
        f"{OUTAGE} s of {len(FAULTS)} kinds of fault: a new token {statistics.median(times):.1f} s after the end "
        f"(median), {times[-1]:.1f} s at most; at most {most} requests meanwhile",
    )


def aws_away(laboratory: Laboratory) -> Row:
    laboratory.role("renewed", ttl="20s", max_ttl="1h")
    metadata = laboratory.metadata()
    run = laboratory.agent(role="renewed", environment=laboratory.environment(metadata))
    with read(laboratory, run) as reader:
        metadata.stop()
        time.sleep(OUTAGE)
    run.stop()
    return "AWS is away", f"{OUTAGE} s without it, twice the token's life: {polls(reader)}"


def disk_full(laboratory: Laboratory) -> Row:
    """On a file system of the agent's own, seen from here by the agent's root."""
    laboratory.role("renewed", ttl="20s", max_ttl="1h")
    folder = Path(laboratory.folder / "disk-full")
    (folder / "disk").mkdir(parents=True)
    configuration = laboratory.configuration(folder, role="renewed")
    configuration["tokens"][0]["sinks"][0]["path"] = str(folder / "disk" / "token")
    mount = f'mount -t tmpfs -o size=16k none "{folder}/disk" && exec "$@"'
    run = laboratory.agent(
        folder=folder, configuration=configuration, prefix=("unshare", "--mount", "sh", "-c", mount, "sh")
    )
    disk = Path(f"/proc/{run.child.pid}/root{folder}/disk")
    run.sink = disk / "token"
    first = run.wait_for_token(20)
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
    run.child.signal(signal.SIGUSR1)  # another token, for which there is no room
    until(lambda: "sink_full" in run.log, "a full disk noticed")
    time.sleep(10)
    if run.token() != first or laboratory.bao.remaining(first) is None:
        raise LaboratoryError("the full disk cost the token")
    (disk / "filler").unlink()
    took = until(lambda: run.token() not in (first, None), "the new token written")
    run.stop()
    return (
        "the disk is full",
        f"for 10 s: the old token whole and valid; the new one in the file {took:.1f} s after room",
    )


def wrong_clock(laboratory: Laboratory) -> Row:
    """A stand-in: STS once says that it is 4 minutes later, as it does to who signs 19 minutes late."""
    stamp = "%Y%m%dT%H%M%SZ"
    now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=4)
    limit = now - datetime.timedelta(minutes=15)
    words = f"Signature expired: {now:{stamp}} is now earlier than {limit:{stamp}} ({now:{stamp}} - 15 min.)"
    laboratory.aws.answer_sts(sts_error(403, "SignatureDoesNotMatch", words))
    run = laboratory.agent()
    began = time.monotonic()
    run.wait_for_token(40)
    took = time.monotonic() - began
    requests = laboratory.front_door.count(since=run.started, path_ends="/login")
    run.stop()
    return "the clock is wrong", f"a token {took:.1f} s after the start, by {requests} logins"


def revoked(laboratory: Laboratory) -> Row:
    run = laboratory.agent()
    times = []
    for _ in range(3):
        token = run.wait_for_token(20)
        time.sleep(1)
        laboratory.bao.revoke(token)
        times.append(until(lambda token=token: run.token() not in (token, None), "another token"))
    run.stop()
    return (
        "the token is revoked",
        f"another in the file after {max(times):.1f} s at most, of 3 times, with a lease of 20 s",
    )


def policies(laboratory: Laboratory, token: str) -> list[str]:
    return laboratory.bao.expect("POST", "auth/token/lookup", {"token": token})["data"]["policies"]


def role_changed(laboratory: Laboratory) -> Row:
    laboratory.role("changed", ttl="20s", max_ttl="1h", policies=["before"])
    run = laboratory.agent(role="changed")
    with read(laboratory, run) as reader:
        token = run.token()
        laboratory.role("changed", ttl="20s", max_ttl="1h", policies=["after"])
        time.sleep(25)
        if run.token() != token or "before" not in policies(laboratory, token):
            raise LaboratoryError("the token is another one, or has other policies")
        run.child.signal(signal.SIGUSR1)
        took = until(lambda: "after" in policies(laboratory, run.token()), "the new policies", 20)
    run.stop()
    return (
        "the role is changed",
        f"renewed with the old policies; the new ones {took:.1f} s after USR1; {polls(reader)}",
    )


def role_deleted(laboratory: Laboratory) -> Row:
    laboratory.role("gone", ttl="20s", max_ttl="60s")
    run = laboratory.agent(role="gone")
    run.wait_for_token(20)
    laboratory.mount.delete_role("gone")
    with read(laboratory, run) as reader:
        time.sleep(OUTAGE)
    held = sum(poll.valid for poll in reader.polls) / 10
    laboratory.role("gone", ttl="20s", max_ttl="60s")
    took = until(lambda: (run.token() and laboratory.bao.remaining(run.token())) is not None, "a valid token", 120)
    run.stop()
    return (
        "the role is deleted",
        f"the token was valid for {held:.0f} s more; a new one {took:.0f} s after the role was back",
    )


def killed(laboratory: Laboratory) -> Row:
    laboratory.role("renewed", ttl="20s", max_ttl="1h")
    folder = Path(laboratory.folder / "killed")
    configuration = laboratory.configuration(folder, role="renewed") | {"state_directory": str(folder)}
    run = laboratory.agent(folder=folder, configuration=configuration)
    token = run.wait_for_token(20)
    until(lambda: run.status_file.get("ready"), "ready")
    logins = laboratory.logins()
    run.kill()
    began = time.monotonic()
    run = laboratory.agent(folder=folder, configuration=configuration)
    until(lambda: run.status_file.get("pid") == run.child.pid and run.status_file.get("ready"), "ready again")
    took = time.monotonic() - began
    if run.token() != token:
        raise LaboratoryError("the token is another one")
    made = laboratory.logins() - logins
    run.stop()
    return "the agent is killed", f"taken over {took:.2f} s after it was started again, by {made} logins"


def wrong_configuration(laboratory: Laboratory) -> Row:
    run = laboratory.agent()
    with read(laboratory, run) as reader:
        until(lambda: run.status_file.get("ready"), "ready")
        run.configuration.write_text(run.configuration.read_text().replace('"role"', '"rule"'))
        began = time.monotonic()
        command = [agent_binary(), "reload", "--config", run.configuration, "--status-file", run.folder / "status.json"]
        status = subprocess.run(command, capture_output=True, timeout=60, check=False).returncode
        took = time.monotonic() - began
        time.sleep(25)
    run.stop()
    return "the configuration is wrong", f"reload fails with {status} after {took:.2f} s; {polls(reader)}"


ROWS = [
    vault_away,
    aws_away,
    disk_full,
    wrong_clock,
    revoked,
    role_changed,
    role_deleted,
    killed,
    wrong_configuration,
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=Path, default=PROJECT / "out" / "vault-token-agent")
    parser.add_argument("--output", type=Path, default=PROJECT / "out" / "faults.json")
    arguments = parser.parse_args()
    os.environ["VTA_BINARY"] = str(arguments.binary)
    rows: list[Row] = []
    with Laboratory() as laboratory:
        laboratory.role("app", ttl="20s", max_ttl="60s")
        for row in ROWS:
            rows.append(row(laboratory))
            print(f"{rows[-1][0]:28}{rows[-1][1]}", flush=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps({"machine": machine(), "rows": dict(rows)}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
