"""A sink among the files of others, however many those are and whatever becomes of them."""

import time
from pathlib import Path

from laboratory.figures import figures
from laboratory.processes import wait_until

STRANGERS = 20_000
# Times a second that a thread of the agent may wait while its neighbours change: a look, and the alarm for the next,
# each 50 ms, by three threads of Dispatch's. Without rests it is more than a thousand.
MOST_SWITCHES = 500


def fill(directory: Path) -> list[Path]:
    strangers = [directory / f"stranger-{number}" for number in range(STRANGERS)]
    for stranger in strangers:
        stranger.touch()
    return strangers


def wake_ups(run) -> int:
    """How often the process's threads have waited for something so far."""
    return sum(figures(run.child.pid).wake_ups.values())


def test_a_directory_full_of_others_files_is_looked_through_at_the_start_only(lab, tmp_path):
    lab.role("brief-neighbour", ttl="4s", max_ttl="4s")
    trace = tmp_path / "trace"
    (tmp_path / "shared").mkdir()
    configuration = lab.configuration(tmp_path, role="brief-neighbour")
    sink = tmp_path / "shared" / "token"
    configuration["tokens"][0]["sinks"][0]["path"] = str(sink)
    strangers = fill(tmp_path / "shared")
    try:
        watched = ("strace", "-D", "-f", "-e", "trace=getdents64,renameat", "-o", str(trace))
        run = lab.agent(folder=tmp_path, configuration=configuration, prefix=watched)
        run.wait_for_log("Token written", 30)
        # By then every directory has been looked through, that of the status file too.
        wait_until(lambda: run.status_file.get("ready"), 30, lambda: run.log)
        start = trace.read_text().count("\n")
        wait_until(lambda: run.log.count("Token written") >= 3, 30, "two more tokens")
        lines = trace.read_text().splitlines()
        assert [line for line in lines[:start] if "getdents64(" in line], "strace shows nothing"
        later = lines[start:]
        assert len([line for line in later if "renameat(" in line and '"token"' in line]) >= 2
        assert not [line for line in later if "getdents64(" in line]
        assert run.stop().status == 0
    finally:
        for stranger in strangers:
            stranger.unlink()


def test_others_files_that_come_and_go_cost_little_and_the_sink_is_still_watched(lab, tmp_path):
    lab.role("calm-neighbour", ttl="10m", max_ttl="1h")
    run = lab.agent(folder=tmp_path, role="calm-neighbour")
    token = run.wait_for_token(20)
    wait_until(lambda: run.status_file.get("ready") is True, 20, "ready")
    before, began, changes = wake_ups(run), time.monotonic(), 0
    while time.monotonic() - began < 5:
        stranger = tmp_path / f"stranger-{changes % 100}"
        stranger.touch()
        stranger.unlink()
        changes += 2
    seconds = time.monotonic() - began
    assert wake_ups(run) - before < MOST_SWITCHES * seconds, f"{changes} changes in {seconds:.1f} s"
    run.sink.unlink()
    assert run.wait_for_token(20) == token
    assert run.stop().status == 0
