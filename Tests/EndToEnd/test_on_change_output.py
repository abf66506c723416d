"""What an `on_change` command may cost and show, whatever it says and however it ends."""

import os
import signal
import time

import pytest

from laboratory.processes import SLOWER, wait_until

# What the agent may grow by while a command floods: nothing for the flood, something for the rest of its work.
GROWTH = 16 << 20


def resident(process: int) -> int:
    """Bytes of memory in use."""
    with open(f"/proc/{process}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) << 10


def processor_time(process: int) -> float:
    """Seconds of a CPU."""
    with open(f"/proc/{process}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(lab, folder, script, **action):
    """An agent whose token has such a command; `token` and `pid` in its folder are the script's to use."""
    lab.role("steady-output", ttl="10m", max_ttl="1h")
    configuration = lab.configuration(folder, role="steady-output")
    command = ["/bin/sh", "-c", script, "sh", str(folder / "token"), str(folder / "pid")]
    configuration["tokens"][0]["on_change"] = {"command": command, **action}
    return lab.agent(folder=folder, configuration=configuration)


def process_of(run) -> int:
    """The command's, once it has said which one it is."""
    path = run.folder / "pid"
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"), 20, "the command's start")
    return int(path.read_text())


def has_ended(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_flood_costs_neither_memory_nor_a_cpu(lab, tmp_path):
    run = start(lab, tmp_path, 'echo $$ > "$2"; exec yes a long line that nobody reads to its end', timeout="60s")
    process = process_of(run)
    before, spent, began = resident(run.child.process.pid), processor_time(run.child.process.pid), time.monotonic()
    time.sleep(10)
    assert not has_ended(process)
    assert resident(run.child.process.pid) - before < GROWTH
    # A build for debugging on a busy machine needs a twentieth of a CPU; without rests it takes nearly all of one.
    assert processor_time(run.child.process.pid) - spent < (time.monotonic() - began) / 3
    assert run.stop(10).status == 0
    wait_until(lambda: has_ended(process), 10, "the end of the flooding command")


@pytest.mark.parametrize(
    "script",
    [
        'head -c 4000 /dev/zero | tr "\\0" x; cat "$1"; echo end',
        'head -c 4080 /dev/zero | tr "\\0" x; cat "$1"; echo end',
        'head -c 12 "$1"; printf "\\0"; tail -c +13 "$1"; echo end',
        'fold -w 5 "$1"; echo end',
        '(head -c 65520 /dev/zero | tr "\\0" x; cat "$1") >&2; echo end',
        'head -c 12 "$1"; echo end; tail -c +13 "$1" >&2; exit 3',
    ],
    ids=["before the cut", "across the cut", "NUL", "line breaks", "standard error", "two outputs"],
)
def test_no_part_of_the_token_is_logged(lab, tmp_path, script):
    run = start(lab, tmp_path, script)
    token = run.wait_for_token(20)
    line = run.wait_for_log("on_change", 20)
    parts = [token[at : at + 8] for at in range(len(token) - 7)]
    # Blanks stand for the controls and line breaks that were in it.
    logged = "".join(run.log.split())
    assert not [part for part in parts if part in logged], line
    assert run.stop().status == 0


def test_a_command_that_ignores_the_request_to_stop_does_not_outlive_the_agent(lab, tmp_path):
    script = 'trap "" TERM; echo $$ > "$2"; while :; do sleep 0.1; done'
    run = start(lab, tmp_path, script, timeout="5m")
    run.wait_for_token(20)
    process = process_of(run)
    try:
        assert run.stop(10).status == 0
        wait_until(lambda: has_ended(process), 3 * SLOWER, "the end of a command that ignores SIGTERM")
    finally:
        if not has_ended(process):
            os.killpg(process, signal.SIGKILL)
