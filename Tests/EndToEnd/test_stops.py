"""A stop at any moment: the agent ends as it should, or by the signal before it listens; never by a crash, never not.

Moments are spread over a start as it is on this machine, measured first: from the program's first line to after the
token is in its place.
"""

import http.client
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from laboratory.agent import agent_binary
from laboratory.processes import unshared, wait_until
from laboratory.web import Reply, WebServer

# Each costs a start of about 0.1 s, more where others work on the machine too. A developer's sweep: VTA_STOPS=2000.
STOPS = int(os.environ.get("VTA_STOPS", "40"))
# Told to stop, it may take 5 s for its last requests; a machine four times slower takes no longer to wait for.
PATIENCE = 20


def mask(pid, field, number):
    """Whether the process's main thread has the signal in that mask: SigBlk, SigIgn or SigCgt."""
    try:
        with open(f"/proc/{pid}/status") as status:
            line = next(line for line in status if line.startswith(field))
    except (OSError, StopIteration):
        return False
    return int(line.split()[1], 16) >> (number - 1) & 1 == 1


def listens(pid, number):
    """Whether the program has done something about the signal: its first line has run."""
    return any(mask(pid, field, number) for field in ("SigBlk", "SigIgn", "SigCgt"))


def wait_for_first_line(run, pid=None, number=signal.SIGTERM):
    pid = pid or run.child.pid
    wait_until(lambda: listens(pid, number) or not run.child.running, 20, "the first line", interval=0)


@pytest.fixture(scope="module")
def start(lab):
    """How long it takes here from the program's first line until the token is in its place, in seconds."""
    times = []
    for _ in range(3):
        run = lab.agent()
        wait_for_first_line(run)
        began = time.monotonic()
        run.wait_for_token(20)
        times.append(time.monotonic() - began)
        assert run.stop().status == 0
    return sorted(times)[1]


def stopped(run, moment, number):
    """The exit status of an agent that gets a signal so many seconds after its first line."""
    wait_for_first_line(run)
    time.sleep(moment)
    run.child.signal(number)
    return run.finish(PATIENCE).status


def moments(start, count):
    """Half of them within the first steps, where threads begin and libraries are readied; the others until after it."""
    half = count // 2
    return [start / 3 * step / half for step in range(half)] + [1.5 * start * step / half for step in range(half)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_that_is_stopped_at_any_moment_ends_cleanly(lab, start, number):
    folder = None
    for moment in moments(start, STOPS):
        run = lab.agent(folder=folder)
        folder = folder or run.folder
        status = stopped(run, moment, number)
        assert status in (0, -number), f"{status} when stopped after {moment * 1000:.1f} ms:\n{run.log}"
        token = run.token()
        assert token is None or lab.bao.remaining(token) is not None


def test_a_service_that_is_stopped_before_its_first_line_ends_by_the_signal(lab):
    for step in range(STOPS // 4):
        run = lab.agent()
        time.sleep(step / 1000)
        run.child.signal(signal.SIGTERM)
        assert run.finish(PATIENCE).status in (0, -signal.SIGTERM), run.log


def test_a_stop_that_is_said_twice_is_one(lab):
    for second in (signal.SIGTERM, signal.SIGINT) * 5:
        run = lab.agent()
        run.wait_for_token(20)
        run.child.signal(signal.SIGTERM)
        run.child.signal(second)
        assert run.finish(PATIENCE).status == 0, run.log


def test_what_is_asked_of_a_service_before_it_listens_waits(lab):
    for _ in range(20):
        run = lab.agent()
        wait_for_first_line(run, number=signal.SIGHUP)
        run.child.signal(signal.SIGHUP)
        run.wait_for_log("New configuration in force", 20)
        assert run.stop().status == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_1_of_a_container_obeys_too(lab, start, number):
    for moment in moments(start, STOPS // 4):
        # unshare has no child but the agent, and passes its status on.
        run = lab.agent(prefix=(*unshared("--pid"), "--fork", "--kill-child"))
        children = Path(f"/proc/{run.child.pid}/task/{run.child.pid}/children")
        wait_until(lambda children=children: children.read_text().strip() != "", 10, "the agent's process")
        agent = int(children.read_text())
        wait_until(lambda agent=agent: os.path.samefile(f"/proc/{agent}/exe", agent_binary()), 10, "the agent")
        wait_for_first_line(run, agent, number)
        time.sleep(moment)
        os.kill(agent, number)
        status = run.finish(PATIENCE).status
        assert status in (0, 128 + number), f"{status} when stopped after {moment * 1000:.1f} ms:\n{run.log}"


@pytest.mark.parametrize(
    "command", [("login",), ("credentials",), ("doctor", "--no-login"), ("config", "check")], ids=lambda it: it[0]
)
def test_a_command_ends_by_its_own_status_or_by_the_signal(lab, start, command):
    for moment in moments(start, STOPS // 4):
        whole = lab.agent(command=command).finish(PATIENCE)
        assert whole.status == 0, whole.log + whole.output
        run = lab.agent(command=command)
        status = stopped(run, moment, signal.SIGTERM)
        assert status in (0, -signal.SIGTERM), f"{status} when stopped after {moment * 1000:.1f} ms:\n{run.log}"


def test_a_login_that_is_stopped_takes_its_helper_along(lab, tmp_path):
    helper, config, pid = tmp_path / "helper", tmp_path / "config", tmp_path / "pid"
    helper.write_text(f"#!/bin/sh\necho $$ > {pid}\nexec sleep 60\n")
    helper.chmod(0o755)
    config.write_text(f"[default]\ncredential_process = {helper}\n")
    run = lab.agent(command=("login",), environment={"AWS_CONFIG_FILE": str(config)})
    wait_until(lambda: pid.exists() and pid.read_text().strip() != "", 20, "the helper")
    run.child.signal(signal.SIGTERM)
    assert run.finish(PATIENCE).status == -signal.SIGTERM
    # A child of the agent's no longer, it is reaped by whoever takes orphans in.
    wait_until(lambda: not_running(pid.read_text().strip()), 10, "the helper's end")


def not_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_trial_login_is_revoked_though_doctor_is_stopped(lab):
    reached, stopped = threading.Event(), threading.Event()

    def answer(request):
        """What the front door answers; a revocation is held up until the agent has been told to stop."""
        if request.path.endswith("revoke-self"):
            reached.set()
            stopped.wait(20)
        connection = http.client.HTTPConnection(lab.front_door.url.partition("//")[2], timeout=20)
        connection.request(request.method, request.target, request.body, dict(request.headers.items()))
        reply = connection.getresponse()
        return Reply(reply.status, reply.read(), [("Content-Type", "application/json")])

    door = WebServer(answer)
    try:
        run = lab.agent(command=("doctor",), address=door.url)
        assert reached.wait(20), run.output
        run.child.signal(signal.SIGTERM)
        time.sleep(0.2)
        stopped.set()
        assert run.finish(PATIENCE).status == -signal.SIGTERM
        assert lab.bao.remaining(lab.front_door.tokens[-1]) is None
    finally:
        stopped.set()
        door.stop()


@pytest.mark.parametrize("said", ["", "Logged in"], ids=["the start's trial", "the token"])
def test_a_stop_in_the_midst_of_a_write_leaves_nothing_unfinished(lab, tmp_path, said):
    folder = tmp_path / "sinks"
    folder.mkdir()
    configuration = lab.configuration(tmp_path)
    configuration["tokens"][0]["sinks"][0]["path"] = str(folder / "token")
    # A disk on which a file takes half a second to come into its place.
    slow = ("strace", "-D", "-f", "-qq", "-P", folder, "-e", "inject=renameat:delay_enter=500000", "-o", "/dev/null")
    run = lab.agent(folder=tmp_path, configuration=configuration, prefix=slow)
    run.wait_for_log(said, 40)
    wait_until(lambda: list(folder.iterdir()), 40, "the beginning of a write", interval=0)
    run.child.signal(signal.SIGTERM)
    assert run.finish(PATIENCE).status == 0, run.log
    assert {each.name for each in folder.iterdir()} <= {"token"}
