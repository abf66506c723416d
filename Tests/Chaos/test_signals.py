"""Signals by the thousand, and a process that is held for longer than its token lives."""

import signal
import time

import pytest
from at_work import LEASE, MAXIMUM, AtWork

from laboratory.processes import wait_until

pytestmark = pytest.mark.long(60)


def test_a_thousand_signals_in_a_second(lab, tmp_path):
    agent = AtWork(lab, tmp_path)
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD, signal.SIGPIPE, signal.SIGWINCH):
        before = lab.logins()
        for _ in range(1_000):
            agent.signal(number)
            time.sleep(0.001)
        agent.watched_for(2)
        agent.is_well()
        # A login that is under way is what every further request for one gets; a reload changes nothing here.
        assert lab.logins() - before < 200
    agent.is_as_before()


def test_an_agent_that_was_held_past_its_tokens_end_has_another_at_once(lab, tmp_path):
    agent = AtWork(lab, tmp_path)
    for _ in range(2):
        old = agent.run.token()
        agent.signal(signal.SIGSTOP)
        time.sleep(MAXIMUM + 1)
        assert lab.bao.remaining(old) is None, "the test was too slow to say anything"
        agent.signal(signal.SIGCONT)
        wait_until(lambda: lab.bao.remaining(agent.run.token() or "none") is not None, LEASE, "a valid token")
    agent.is_as_before()
