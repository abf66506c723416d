"""At rest the agent does nothing at all: what wakes up without cause on every host of a fleet is paid for by all."""

import time

from laboratory.figures import figures


def test_an_idle_agent_sleeps(lab):
    lab.role("idle", ttl="24h")
    run = lab.agent(role="idle")
    run.wait_for_token(10)
    # The first look whose AWS credentials these are comes 5 s after the start; Dispatch keeps a worker 5 s longer.
    time.sleep(14)
    # A heartbeat comes each 30 s, so of three times 10 s one has none.
    looks = []
    for _ in range(3):
        before = figures(run.child.pid)
        time.sleep(10)
        after = figures(run.child.pid)
        looks.append((after.wake_ups == before.wake_ups, after.cpu_seconds - before.cpu_seconds, after.threads))
    # The main thread waits for the event loop; Dispatch has no thread of its own by now.
    assert any(slept and spent < 0.001 and threads == 1 for slept, spent, threads in looks), looks
    run.stop()
