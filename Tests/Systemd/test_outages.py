"""The shipped unit while Vault is away: systemd restarts nothing, and says what is going on."""

import time

from conftest import Services

from laboratory.faults import Fault
from laboratory.laboratory import Laboratory


def test_an_outage_of_40_seconds_restarts_nothing(services: Services, lab: Laboratory):
    proxy = lab.fault_proxy()
    service = services(vault={"address": proxy.url})
    machine = service.machine
    service.start()
    before = machine.show("MainPID", "ActiveEnterTimestampMonotonic")
    proxy.set(Fault.REFUSE)
    ends = time.monotonic() + 40
    said = set()
    while time.monotonic() < ends:
        state = machine.show("ActiveState", "NRestarts", "StatusText")
        assert (state["ActiveState"], state["NRestarts"]) == ("active", "0")
        said.add(state["StatusText"].split(" until ")[0].split(" since ")[0])
        time.sleep(0.5)
    # With a lease of 20 s the token is lost on the way, and the status goes through all three.
    assert {"app: fresh", "app: still valid", "app: no valid token"} <= said
    proxy.set(Fault.NONE)
    machine.wait_until(lambda: machine.status_text().startswith("app: fresh"), "fresh again", 30)
    assert service.is_valid(service.token())
    assert machine.show("MainPID", "ActiveEnterTimestampMonotonic") == before


def test_a_boot_without_vault_for_two_minutes_is_no_failed_unit(services: Services, lab: Laboratory):
    proxy = lab.fault_proxy()
    service = services(vault={"address": proxy.url})
    proxy.set(Fault.REFUSE)
    machine = service.machine
    start = machine.begin("start", machine.unit)
    # Longer than TimeoutStartSec=90.
    while time.monotonic() < start.began + 120:
        time.sleep(1)
        assert start.took is None, f"ended early: {start.outcome}\n{machine.journal()}"
    state = machine.show("ActiveState", "NRestarts", "StatusText")
    assert (state["ActiveState"], state["NRestarts"]) == ("activating", "0")
    assert state["StatusText"].startswith("app: no token yet, Vault unreachable since ")
    proxy.set(Fault.NONE)
    assert start.wait(90).ok
    assert service.is_valid(service.token())
    assert machine.show("NRestarts") == {"NRestarts": "0"}
    # Told at doubling intervals, not at each try.
    assert machine.run("journalctl", "--output=cat", "ERROR_CODE=vault_unreachable").output.count("\n") <= 12
