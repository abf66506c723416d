"""`login` beside the bare HTTP exchange that it makes: one signed request to Vault, which asks STS.

Both with credentials at hand, one after the other in turn, against one laboratory. The bare exchange is a connection, a
request that was signed before, and its answer, by Python's http.client. Prints the medians and the ratio.
"""

import argparse
import http.client
import json
import os
import select
import statistics
import sys
import time
import urllib.parse
from pathlib import Path

from report import Aim, machine, table
from signing import signed_login

from laboratory.agent import PROJECT
from laboratory.laboratory import REGION, Laboratory
from laboratory.processes import LaboratoryError

ROUNDS = 25


def exchange(address: str, fields: dict) -> float:
    """Seconds."""
    url = urllib.parse.urlsplit(address)
    body = json.dumps(fields)
    began = time.perf_counter()
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=20)
    connection.request("POST", "/v1/auth/aws/login", body, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    reply.read()
    took = time.perf_counter() - began
    connection.close()
    if reply.status != 200:
        raise LaboratoryError(f"the bare login was answered with {reply.status}")
    return took


def login(laboratory: Laboratory, environment: dict[str, str]) -> float:
    """Seconds from the start of the process until it is gone."""
    began = time.perf_counter()
    run = laboratory.agent(command=("login",), environment=environment)
    end = os.pidfd_open(run.child.pid)
    select.select([end], [], [], 20)
    took = time.perf_counter() - began
    os.close(end)
    if run.finish().status != 0:
        raise LaboratoryError(f"login failed: {run.log}")
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=Path, default=PROJECT / "out" / "vault-token-agent")
    parser.add_argument("--output", type=Path, default=PROJECT / "out" / "login.json")
    arguments = parser.parse_args()
    os.environ["VTA_BINARY"] = str(arguments.binary)
    times: dict[str, list[float]] = {"login": [], "bare": []}
    with Laboratory() as laboratory:
        credentials = laboratory.aws.assume()
        laboratory.keep_secret(*credentials.secrets)
        environment = {**credentials.environment, "AWS_REGION": REGION}
        for _ in range(ROUNDS):
            times["bare"].append(exchange(laboratory.front_door.url, signed_login(credentials)))
            times["login"].append(login(laboratory, environment))
    medians = {name: 1000 * statistics.median(each) for name, each in times.items()}
    ratio = medians["login"] / medians["bare"]
    rows = [("median of 25, ms", [medians["login"], medians["bare"], ratio])]
    print(table("", ["login", "bare exchange", "ratio"], rows))
    aim = Aim("login to the bare exchange", ratio, "", "<= 1.5", ratio <= 1.5)
    print(aim)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    written = {"machine": machine(), "milliseconds": medians, "ratio": ratio}
    arguments.output.write_text(json.dumps(written, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
