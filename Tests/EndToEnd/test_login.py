"""`login`: the token once, and then the end, at once; or the reason why there is none."""

import os
import select
import time

from laboratory.faults import Fault


def test_it_ends_when_the_last_sink_is_durable_and_waits_for_nothing_else(lab, tmp_path):
    """The best of five: a machine that is busy delays an end, a wait of its own delays every one. There was one."""
    delays = []
    for number in range(5):
        run = lab.agent(folder=tmp_path / str(number), command=("login",))
        end = os.pidfd_open(run.child.pid)
        select.select([end], [], [], 20)
        ended = time.time_ns()
        os.close(end)
        assert run.finish().status == 0
        written = (run.folder / "token").stat().st_mtime_ns
        delays.append((ended - written) / 1e6)
    assert min(delays) < 60, delays


def test_a_time_out_names_what_failed_last(lab, tmp_path):
    proxy = lab.fault_proxy()
    proxy.set(Fault.REFUSE)
    run = lab.agent(folder=tmp_path, command=("login", "--timeout", "2s"), address=proxy.url)
    done = run.finish()
    assert done.status == 69
    last = done.log.splitlines()[-1]
    assert "no token in every sink within 2s. The last failure: " in last
    assert proxy.url.removeprefix("http://") in last and last.endswith("[vault_unreachable]"), last
