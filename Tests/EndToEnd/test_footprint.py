"""At rest the agent does nothing at all: what wakes up without cause on every host of a fleet is paid for by all."""

import re
import time
from pathlib import Path

from laboratory.figures import figures, woken_since


def test_an_idle_agent_sleeps(lab):
    lab.role("idle", ttl="24h")
    run = lab.agent(role="idle")
    run.wait_for_token(10)
    # The first look whose AWS credentials these are comes 5 s after the start; its thread stays 1 s longer.
    time.sleep(14)
    # A heartbeat comes each 30 s and takes a thread for 1 s: of three times 10 s one has nothing of it. A busy machine
    # is later with what belongs to the start.
    looks = []
    for _ in range(9):
        before = figures(run.child.pid)
        time.sleep(10)
        after = figures(run.child.pid)
        looks.append((woken_since(before, after), after.cpu_seconds - before.cpu_seconds, after.threads))
        woken, spent, threads = looks[-1]
        # The main thread waits for the event loop; there is none beside it.
        if woken == 0 and spent < 0.001 and threads == 1:
            break
    else:
        raise AssertionError(looks)
    run.stop()


# Of glibc (malloc/arena.c, HEAP_MAX_SIZE where words have 64 bits): what it reserves for each heap but the first, at a
# multiple of itself.
MORE_HEAP = 64 << 20


def heaps_beside_the_first(pid: int) -> list[str]:
    """The mappings that each of them begins with: some pages in use, the rest of the reservation not accessible."""
    found = re.findall(
        r"^((\w+)-(\w+) rw-p 0+ 00:00 0 *)\n\3-(\w+) ---p", Path(f"/proc/{pid}/maps").read_text(), re.MULTILINE
    )
    return [
        line
        for line, start, _, end in found
        if int(start, 16) % MORE_HEAP == 0 and int(end, 16) - int(start, 16) == MORE_HEAP
    ]


def test_all_threads_share_one_heap(lab):
    lab.role("idle", ttl="24h")
    run = lab.agent(role="idle")
    run.wait_for_token(10)
    assert heaps_beside_the_first(run.child.pid) == []
    run.stop()
