"""The shipped unit started while Vault is away: systemd waits, and says what for."""

import time

import pytest
from conftest import Services

from laboratory.faults import Fault
from laboratory.laboratory import Laboratory

pytestmark = pytest.mark.long(130)


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
