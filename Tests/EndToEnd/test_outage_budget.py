"""Vault is taken away: readers lose their token when `status` said that they would, and not before."""

import json
import math
import time
from datetime import datetime

from laboratory.agent import Reader, run_once
from laboratory.faults import Fault
from laboratory.processes import SLOWER, wait_until


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


def test_readers_survive_an_outage_of_vault_until_the_second_that_was_said(lab):
    proxy = lab.fault_proxy()
    run = lab.agent(address=proxy.url)
    run.wait_for_token(15)
    proxy.set(Fault.REFUSE)
    # A renewal that was under way is over, and what came of it is in the status file.
    run.wait_for_log("Connection refused", 30)
    wait_until(lambda: run.status_file["tokens"][0].get("trouble"), 10, lambda: json.dumps(run.status_file))
    budget = run.status_file["tokens"][0]["outage_budget"]
    said = seconds(budget["without_vault_until"])
    held = run.token()
    table = run_once(["status", "--config", run.configuration], {}).output
    assert f"survives an outage of Vault until {budget['without_vault_until'][11:]}" in table, table

    offset = time.time() - time.monotonic()
    reader = Reader(run, lab.bao.remaining)
    reader.start()
    given_up = time.monotonic() + 30 * SLOWER
    while time.monotonic() < given_up and not (reader.polls and not reader.polls[-1].valid):
        time.sleep(0.1)
    polls = reader.end()
    assert run.token() == held, "an outage replaces nothing"
    last_valid = max(poll.at for poll in polls if poll.valid) + offset
    first_invalid = min(poll.at for poll in polls if not poll.valid) + offset
    assert first_invalid >= said, "lost before it was said"
    # Told in whole seconds, and counted from when the request was sent.
    assert math.floor(last_valid) - said <= 1 * SLOWER, f"{last_valid - said:.1f} s later than it was said"
    wait_until(lambda: "outage_budget" not in run.status_file["tokens"][0], 10, "the budget is used up")
    run.stop()
