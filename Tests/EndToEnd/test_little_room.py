"""A machine that grants the agent too little: it says so in one line, and does not hang or die without a word."""

import os
import signal
import subprocess

import pytest

from laboratory.figures import figures
from laboratory.processes import wait_until

# Bytes. More than the dynamic linker needs, so that the agent comes to its first line; less than its threads' stacks.
LIMITS = {"address space": "--as=75497472", "data": "--data=25165824"}


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS.keys())
@pytest.mark.parametrize("command", ["run", "login"])
def test_too_little_memory_is_one_clear_line(lab, tmp_path, limit, command):
    run = lab.agent(folder=tmp_path, command=(command,), prefix=("prlimit", limit, "--"))
    finished = run.finish(20)
    assert finished.status == 70
    lines = finished.log.splitlines()
    assert len(lines) == 1 and lines[0].startswith("vault-token-agent: too little memory, or too few threads allowed: ")
    assert "Raise LimitAS" in lines[0] and lines[0].endswith("[internal_fault]")


@pytest.mark.parametrize("limit", [4, 5])
@pytest.mark.parametrize("command", ["run", "login"])
def test_too_few_descriptors_are_one_clear_line(lab, tmp_path, limit, command):
    """Three are open from the start, the fourth opened the libraries; the loop takes three."""
    run = lab.agent(folder=tmp_path, command=(command,), prefix=("prlimit", f"--nofile={limit}", "--"))
    finished = run.finish(20)
    assert finished.status == 70
    lines = finished.log.splitlines()
    assert len(lines) == 1 and lines[0].startswith("vault-token-agent: no event loop: ")
    assert "Raise LimitNOFILE" in lines[0] and lines[0].endswith("[internal_fault]")


# A user that no other test has: how many threads it may have is counted for all that runs as it.
USER = 54_321
AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--")
CROWD = 'for _ in $(seq 20); do sleep 60 & children="$children $!"; done; echo here; read _; kill $children'


def test_it_writes_on_where_no_further_thread_is_granted(lab, tmp_path):
    """What runs beside the agent may use up the container's pids.max; a limit of the user's stands for that."""
    lab.role("idle", ttl="24h")
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(path.stat().st_mode | 0o005)
    folder = tmp_path / "its own"
    folder.mkdir()
    os.chown(folder, USER, USER)
    run = lab.agent(folder=folder, role="idle", prefix=("prlimit", "--nproc=10", "--", *AS_USER))
    token = run.wait_for_token(10)
    wait_until(lambda: figures(run.child.pid).threads == 1, 60, "the end of threads that rest")
    with subprocess.Popen([*AS_USER, "sh", "-c", CROWD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as crowd:
        assert crowd.stdout.readline() == b"here\n"
        run.child.signal(signal.SIGUSR1)
        run.wait_for_token(10, other_than=token)
        crowd.communicate(b"\n")
    run.stop()
