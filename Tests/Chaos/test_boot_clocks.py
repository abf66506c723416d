"""The clock since boot jumps, as when a container is started again in another time namespace, or the calendar does
between two runs: what one agent left is read by the next, and commands ask an agent, whose clocks are not theirs.
"""

import re
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from at_work import MAXIMUM, AtWork

from laboratory.agent import AgentRun, Finished, Reader
from laboratory.faults import Fault
from laboratory.laboratory import Laboratory
from laboratory.processes import unshared, wait_until

pytestmark = pytest.mark.long(25)

TEN_YEARS = 10 * 365 * 86_400


def ahead(offset: int) -> tuple[str, ...]:
    """How a command begins whose clocks since boot are so many seconds ahead of this machine's."""
    return (*unshared("--time"), f"--boottime={offset}", f"--monotonic={offset}", "--") if offset else ()


def clock_since_boot(*prefix: str) -> float:
    # The kernel counts the namespace's offset in.
    done = subprocess.run([*prefix, "cat", "/proc/uptime"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.split()[0])


@pytest.fixture(autouse=True)
def _clocks_can_be_set_apart() -> None:
    try:
        apart = clock_since_boot(*ahead(TEN_YEARS)) - clock_since_boot()
    except (AssertionError, OSError) as reason:
        pytest.skip(f"no time namespace here: {reason}")
    if apart < TEN_YEARS / 2:
        pytest.skip("a time namespace is entered by the next child only: this kernel is older than 6.3")


def configured(lab: Laboratory, folder: Path, address: str) -> dict:
    lab.role("calm", ttl="10m", max_ttl="1h")
    (folder / "state").mkdir(mode=0o700)
    return lab.configuration(folder, role="calm", address=address) | {"state_directory": str(folder / "state")}


def ask(run: AgentRun, lab: Laboratory, offset: int, *command: str) -> Finished:
    """A command of the agent's configuration, under a clock of its own."""
    return lab.agent(
        configuration=run.configuration.read_text(), command=command, prefix=ahead(offset), prints_token=True
    ).finish()


def told(run: AgentRun) -> dict:
    """What this run says of its token, not one before it; nothing yet."""
    status = run.status_file
    return status["tokens"][0] if status.get("pid") == run.child.pid and status["tokens"] else {}


def end_of_lease(run: AgentRun) -> float:
    return datetime.fromisoformat(told(run)["valid_until"]).timestamp()


def test_a_restart_under_another_clock_goes_on_with_the_token_and_knows_its_end(lab, tmp_path):
    proxy = lab.fault_proxy()
    configuration = configured(lab, tmp_path, proxy.url)
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(15)
    reader = Reader(run, lab.bao.remaining)
    reader.start()
    wait_until(lambda: told(run).get("valid_until"), 10, lambda: run.log)
    # Nobody is there to ask: all that is known of the token is what the run before has left.
    proxy.set(Fault.REFUSE)
    run.stop()
    end, logins = end_of_lease(run), lab.logins()
    for offset in (TEN_YEARS, 0, 60, 0):
        run = lab.agent(folder=tmp_path, configuration=configuration, prefix=ahead(offset))
        wait_until(lambda run=run: told(run).get("trouble"), 20, lambda run=run: run.log)
        assert abs(end_of_lease(run) - end) <= 2, f"under a clock {offset} s ahead"
        assert run.token() == token
        assert ask(run, lab, 0, "healthcheck").status == 0
        run.stop()
    proxy.set(Fault.NONE)
    run = lab.agent(folder=tmp_path, configuration=configuration, prefix=ahead(TEN_YEARS))
    wait_until(lambda: told(run).get("valid_until"), 10, lambda: run.log)
    polls = reader.end()
    assert polls and all(poll.valid for poll in polls)
    assert run.token() == token and lab.logins() == logins
    run.stop()


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_calendar_that_was_set_between_two_runs_moves_no_end_of_a_lease(lab, tmp_path, hours):
    proxy = lab.fault_proxy()
    configuration = configured(lab, tmp_path, proxy.url)
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(15)
    wait_until(lambda: told(run).get("valid_until"), 10, lambda: run.log)
    proxy.set(Fault.REFUSE)
    run.stop()
    end = end_of_lease(run)
    # Nobody can set a namespace's calendar: the first run's was another one, by what it has left.
    record = tmp_path / "state" / "takeover-app"
    (calendar,) = set(re.findall(r" (\d{19})/\d+ ", record.read_text()))
    record.write_text(record.read_text().replace(calendar, str(int(calendar) + hours * 3_600 * 10**9)))
    run = lab.agent(folder=tmp_path, configuration=configuration)
    wait_until(lambda: told(run).get("trouble"), 20, lambda: run.log)
    assert abs(end_of_lease(run) - end) <= 2
    assert run.token() == token
    run.stop()


@pytest.mark.parametrize(("agents", "commands"), [(0, TEN_YEARS), (TEN_YEARS, 0)])
def test_commands_under_another_clock_take_a_live_agent_for_live_and_a_dead_one_for_dead(
    lab, tmp_path, agents, commands
):
    configuration = configured(lab, tmp_path, lab.front_door.url)
    run = lab.agent(folder=tmp_path, configuration=configuration, prefix=ahead(agents))
    assert ask(run, lab, commands, "wait", "--timeout", "60s").status == 0
    token, logins = run.token(), lab.logins()
    for command in (["healthcheck"], ["healthcheck", "--liveness"], ["reload"], ["status"]):
        done = ask(run, lab, commands, *command)
        assert done.status == 0, f"{command}: {done.output}{done.log}"
    assert ask(run, lab, commands, "get").output.strip() == token == run.token()
    assert lab.logins() == logins
    # A second one on the same files is refused, whatever its clock says of the first.
    second = ask(run, lab, commands, "run")
    assert second.status == 73, second.log
    run.kill()
    for command in (["healthcheck"], ["healthcheck", "--liveness"]):
        assert ask(run, lab, commands, *command).status == 1


def test_an_agent_is_at_work_under_a_clock_far_ahead(lab, tmp_path):
    agent = AtWork(lab, tmp_path, prefix=ahead(TEN_YEARS))
    agent.watched_for(MAXIMUM + 2)
    agent.is_as_before()
