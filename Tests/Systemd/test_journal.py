"""A journald that hangs: the agent goes on, and tells what was lost once it reads again."""

import re

from conftest import Service

METRICS = "/run/vault-token-agent/agent.prom"
# Three records and more for each; systemd lets up to 512 datagrams wait.
MOST_LOGINS = 400


def lost(service: Service) -> int:
    count = re.search(r"^vault_token_agent_log_records_dropped_total (\d+)$", service.machine.read(METRICS), re.M)
    assert count
    return int(count.group(1))


def log_in_anew(service: Service) -> None:
    before = service.token()
    assert service.machine.systemctl("kill", "--signal=USR1", service.machine.unit).ok
    service.machine.wait_until(lambda: service.token() != before, "logged in anew", 60)


def test_a_journald_that_hangs_holds_up_nothing_and_is_told_what_it_missed(calm: Service):
    machine = calm.machine
    calm.configure(metrics={"textfile": METRICS}, log={"level": "debug"})
    calm.start()
    machine.wait_until((machine.root / METRICS.lstrip("/")).exists, "metrics are there", 30)
    assert lost(calm) == 0
    assert machine.systemctl("kill", "--signal=STOP", "systemd-journald.service").ok
    try:
        logins = 0
        while lost(calm) == 0:
            log_in_anew(calm)
            logins += 1
            assert logins < MOST_LOGINS
        # It stands still and the agent does not.
        log_in_anew(calm)
    finally:
        machine.systemctl("kill", "--signal=CONT", "systemd-journald.service")
    log_in_anew(calm)
    told = "Log records dropped: the journal was not read"
    machine.wait_until(lambda: told in machine.journal(), "told", 60)
    assert machine.show("NRestarts")["NRestarts"] == "0"
