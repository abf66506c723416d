"""The shipped unit while Vault is away: systemd restarts nothing, and says what is going on."""

import time

import pytest
from conftest import Services

from laboratory.faults import Fault
from laboratory.laboratory import Laboratory

pytestmark = pytest.mark.long(50)


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
    # With a lease of 20 s the token is lost on the way. Whether a renewal was due at once decides if it is seen fresh.
    assert {"app: still valid", "app: no valid token"} <= said
    proxy.set(Fault.NONE)
    machine.wait_until(lambda: machine.status_text().startswith("app: fresh"), "fresh again", 30)
    assert service.is_valid(service.token())
    assert machine.show("MainPID", "ActiveEnterTimestampMonotonic") == before
