"""The watchdog: an agent that stands still is replaced, and the replacement goes on with the token that is there."""

import os
import signal

import pytest
from conftest import Service

pytestmark = pytest.mark.long(75)


def test_a_queue_that_stands_still_is_killed_and_its_token_taken_over(calm: Service):
    machine = calm.machine
    calm.start()
    token, logins, number = calm.token(), calm.lab.logins(), machine.process()
    os.kill(number, signal.SIGSTOP)
    # WatchdogSec=60, and up to 20 s since the last beat; TimeoutStopSec=10 for the process to die; RestartSec=5.
    machine.wait_until(lambda: machine.show("NRestarts")["NRestarts"] == "1", "restarted", 120)
    machine.wait_until(lambda: machine.show("ActiveState")["ActiveState"] == "active", "active again", 30)
    assert "Watchdog timeout" in machine.run("journalctl", "--output=cat").output
    assert machine.process() != number
    assert calm.token() == token
    assert calm.is_valid(token)
    assert calm.lab.logins() == logins
