"""A machine that grants the agent little of what it needs, for as long as it works."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from at_work import MAXIMUM, AtWork

from laboratory.figures import figures

pytestmark = pytest.mark.long(50)

# Of these it holds up to 22. A command takes 5 more while it is started, and is not, where they are not to be had.
DESCRIPTORS = 24
MEMORY = 24 << 20
CONTROLLER = Path("/sys/fs/cgroup/memory")


def test_with_24_descriptors_tokens_stay_fresh(lab, tmp_path):
    agent = AtWork(lab, tmp_path, prefix=("prlimit", f"--nofile={DESCRIPTORS}", "--"))
    agent.watched_for(MAXIMUM + 2)
    agent.is_as_before()


@contextlib.contextmanager
def little_memory() -> Iterator[Path | None]:
    """A control group with so much; none where this machine lets nobody make one."""
    group = CONTROLLER / f"vault-token-agent-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        yield None
        return
    try:
        (group / "memory.limit_in_bytes").write_text(str(MEMORY))
        yield group
    finally:
        with contextlib.suppress(OSError):  # still in use, where the test has failed
            group.rmdir()


def test_24_mb_of_memory_are_enough(lab, tmp_path):
    with little_memory() as group:
        joining = ("sh", "-c", f'echo $$ >{group}/cgroup.procs && exec "$@"', "sh") if group else ()
        agent = AtWork(lab, tmp_path, prefix=joining)
        agent.watched_for(MAXIMUM + 2)
        assert figures(agent.pid).anonymous < MEMORY / 2
        if group:
            assert str(agent.pid) in (group / "cgroup.procs").read_text().split()
        agent.is_as_before()
