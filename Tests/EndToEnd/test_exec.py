"""`exec`: a program with the running agent's token in its environment, and what a change of the token does to it."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from laboratory.agent import AgentRun, agent_binary, run_once
from laboratory.faults import Fault
from laboratory.laboratory import Laboratory
from laboratory.processes import SLOWER, wait_until

# Does what it is told by signals; `sleep` is in the background so that the shell hears them. Notes its token only when
# it hears all of them: what is sent after the note is never lost.
PROGRAM = """
trap 'echo hup >>{notes}' HUP
trap 'echo usr1 >>{notes}' USR1
trap 'echo int >>{notes}' INT
trap {term} TERM
echo "start $$ $VAULT_TOKEN" >>{notes}
while :; do sleep 60 & wait $!; done
"""
ENDS = "'exit 7'"
STAYS = "'echo term >>{notes}'"


@pytest.fixture
def run(lab: Laboratory, tmp_path: Path) -> AgentRun:
    lab.role("calm", ttl="10m", max_ttl="1h")
    run = lab.agent(folder=tmp_path, configuration=lab.configuration(tmp_path, role="calm"))
    run.wait_for_token(20)
    return run


def command(run: AgentRun, *arguments: str | Path) -> list[str]:
    return [str(word) for word in (agent_binary(), "exec", "--config", run.configuration, *arguments)]


def done(run: AgentRun, *arguments: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(run, *arguments), capture_output=True, text=True, timeout=60 * SLOWER, check=False, **more
    )


class Companion:
    """A program of `exec` that goes on until it is told to end."""

    def __init__(self, run: AgentRun, folder: Path, *arguments: str, term: str = ENDS):
        self.notes = folder / "notes"
        run.may_hold(self.notes)
        program = folder / "program.sh"
        program.write_text(PROGRAM.format(notes=self.notes, term=term.format(notes=self.notes)))
        self.errors = folder / "exec.log"
        with self.errors.open("w") as log:
            self.process = subprocess.Popen(
                command(run, *arguments, "--", "sh", str(program)), stderr=log, start_new_session=True
            )
        self.wait_for_notes(1)

    def lines(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def wait_for_notes(self, count: int) -> list[str]:
        wait_until(lambda: len(self.lines()) >= count, 20, f"{count} lines of {self.lines()}")
        return self.lines()

    def wait_for_error(self, text: str) -> None:
        wait_until(lambda: text in self.errors.read_text(), 40, f"{text!r} in {self.errors.read_text()!r}")

    @property
    def program(self) -> int:
        return int(self.lines()[-1].split()[1])


@contextmanager
def companion(run: AgentRun, folder: Path, *arguments: str, term: str = ENDS) -> Iterator[Companion]:
    made = Companion(run, folder, *arguments, term=term)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
        made.process.wait(20)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def new_token(run: AgentRun) -> str:
    before = run.token()
    run.child.signal(signal.SIGUSR1)
    return run.wait_for_token(20, other_than=before)


def test_the_token_its_address_and_nothing_stale_are_in_the_environment(lab: Laboratory, run: AgentRun):
    stale = {**os.environ, "BAO_TOKEN": "of-another", "VAULT_NAMESPACE": "", "KEPT": "yes"}
    found = done(run, "--", "sh", "-c", "umask; env", env=stale)
    assert (found.returncode, found.stderr) == (0, "")
    mask, *lines = found.stdout.splitlines()
    variables = dict(line.split("=", 1) for line in lines if "=" in line)
    assert variables["VAULT_TOKEN"] == run.token() and variables["VAULT_ADDR"] == lab.front_door.url
    assert variables["KEPT"] == "yes"
    assert "BAO_TOKEN" not in variables and "VAULT_NAMESPACE" not in variables
    # As if it had been started without exec.
    assert mask == subprocess.run(["sh", "-c", "umask"], capture_output=True, text=True, check=True).stdout.strip()
    named = done(run, "app", "--variable", "TOKEN", "--", "sh", "-c", "echo $TOKEN$VAULT_TOKEN", env={"PATH": "/bin"})
    assert named.stdout.strip() == run.token()


def test_the_token_of_a_socket_or_of_json_does_as_well(lab: Laboratory, tmp_path: Path):
    lab.role("calm", ttl="10m", max_ttl="1h")
    for name, sink in (("socket", {"type": "socket"}), ("json", {"type": "file", "format": "json"})):
        folder = tmp_path / name
        folder.mkdir()
        configuration = lab.configuration(folder, role="calm")
        configuration["tokens"][0]["sinks"] = [sink | {"path": str(folder / "sink")}]
        running = lab.agent(folder=folder, configuration=configuration)
        found = done(running, "--", "sh", "-c", "echo $VAULT_TOKEN")
        assert lab.bao.remaining(found.stdout.strip()) is not None, found


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["sh", "-c", "exit 0"], 0),
        (["sh", "-c", "exit 23"], 23),
        (["sh", "-c", "kill -KILL $$"], -signal.SIGKILL),
        (["sh", "-c", "kill -TERM $$"], -signal.SIGTERM),
        (["/nonexistent/program"], 127),
        (["no-such-program-anywhere"], 127),
        (["{folder}/agent.json"], 126),
        (["/"], 126),
    ],
)
def test_the_end_of_the_command_is_the_end_of_exec(run: AgentRun, words: list[str], status: int):
    found = done(run, "--", *(word.format(folder=run.folder) for word in words))
    assert found.returncode == status
    assert bool(found.stderr) == (status in (126, 127))


def test_standard_input_and_output_are_the_commands(run: AgentRun):
    found = done(run, "--", "tr", "a-z", "A-Z", input="from here\n")
    assert found.stdout == "FROM HERE\n"


def test_signals_are_passed_on(run: AgentRun, tmp_path: Path):
    with companion(run, tmp_path) as made:
        for number, note in ((signal.SIGHUP, "hup"), (signal.SIGUSR1, "usr1"), (signal.SIGINT, "int")):
            count = len(made.lines())
            made.process.send_signal(number)
            assert made.wait_for_notes(count + 1)[-1] == note
        made.process.send_signal(signal.SIGTERM)
        assert made.process.wait(20) == 7


def test_a_command_that_ignores_term_is_waited_for_and_dies_with_exec(run: AgentRun, tmp_path: Path):
    with companion(run, tmp_path, term=STAYS) as made:
        program = made.program
        made.process.send_signal(signal.SIGTERM)
        assert made.wait_for_notes(2)[-1] == "term"
        time.sleep(1)
        assert made.process.poll() is None and is_alive(program)
        made.process.kill()
        made.process.wait(20)
        wait_until(lambda: not is_alive(program), 10, "dead with exec")


def test_a_new_token_changes_nothing_unless_told_to(run: AgentRun, tmp_path: Path):
    with companion(run, tmp_path) as made:
        new_token(run)
        time.sleep(1)
        assert len(made.lines()) == 1 and made.process.poll() is None


def test_a_new_token_restarts_the_command(run: AgentRun, tmp_path: Path):
    with companion(run, tmp_path, "--restart") as made:
        for count in (2, 3):
            program, token = made.program, new_token(run)
            assert made.wait_for_notes(count)[-1].split()[2] == token
            assert made.program != program and not is_alive(program)
        # A command that ends by itself is not started again.
        os.kill(made.program, signal.SIGKILL)
        assert made.process.wait(20) == -signal.SIGKILL


def test_a_reload_that_moves_sink_and_status_is_followed(lab: Laboratory, run: AgentRun, tmp_path: Path):
    with companion(run, tmp_path, "--restart") as made:
        moved = lab.configuration(tmp_path, role="calm")
        moved["status_file"] = str(tmp_path / "moved.json")
        moved["tokens"][0]["sinks"][0]["path"] = str(tmp_path / "moved")
        run.may_hold(tmp_path / "moved")
        run.configuration.write_text(json.dumps(moved))
        run.child.signal(signal.SIGHUP)
        run.wait_for_log("New configuration in force", 20)
        run.child.signal(signal.SIGUSR1)
        wait_until(lambda: len(made.lines()) >= 2, 40, made.errors.read_text)
        assert made.lines()[-1].split()[2] == (tmp_path / "moved").read_text()


def test_a_configuration_that_came_by_a_pipe_is_read_but_once(run: AgentRun, tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    program = "echo $VAULT_TOKEN; sleep 600 & wait"
    words = [agent_binary(), "exec", "--config", pipe, "--restart", "--", "sh", "-c", program]
    # Goes on once somebody else opens the pipe to read.
    again = threading.Thread(target=pipe.write_text, args=("{",))
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as companion:
        try:
            pipe.write_text(run.configuration.read_text())
            assert companion.stdout.readline().strip() == run.token()
            again.start()
            token = new_token(run)
            assert companion.stdout.readline().strip() == token
            assert again.is_alive(), "the pipe was read once more"
        finally:
            os.killpg(companion.pid, signal.SIGKILL)
            if again.is_alive():
                pipe.read_text()
                again.join()


def test_a_command_that_does_not_stop_for_the_restart_is_killed(run: AgentRun, tmp_path: Path):
    with companion(run, tmp_path, "--restart", "--kill-after", "1s", term=STAYS) as made:
        program, token = made.program, new_token(run)
        lines = made.wait_for_notes(3)
        assert lines[1] == "term" and lines[2].split()[2] == token
        assert not is_alive(program)
        made.wait_for_error("does not stop; killing it")


def test_a_new_token_sends_the_signal(run: AgentRun, tmp_path: Path):
    with companion(run, tmp_path, "--signal", "HUP") as made:
        new_token(run)
        assert made.wait_for_notes(2)[-1] == "hup"
        assert len(made.lines()) == 2


@pytest.mark.long(25)
def test_a_token_that_dies_ends_nothing_and_the_next_one_counts(lab: Laboratory, tmp_path: Path):
    lab.role("calm", ttl="10m", max_ttl="1h")
    vault = lab.fault_proxy()
    run = lab.agent(folder=tmp_path, configuration=lab.configuration(tmp_path, role="calm", address=vault.url))
    token = run.wait_for_token(20)
    with companion(run, tmp_path, "--restart") as made:
        run.stop()
        made.wait_for_error("goes on with the token that it has")
        assert made.process.poll() is None and len(made.lines()) == 1
        lab.bao.revoke(token)
        run = lab.agent(folder=tmp_path, configuration=lab.configuration(tmp_path, role="calm", address=vault.url))
        assert made.wait_for_notes(2)[-1].split()[2] == run.wait_for_token(20, other_than=token)
        made.wait_for_error("there is a valid token again")


def test_without_a_token_the_command_is_not_run(lab: Laboratory, tmp_path: Path):
    vault = lab.fault_proxy()
    vault.set(Fault.REFUSE)
    run = lab.agent(folder=tmp_path, configuration=lab.configuration(tmp_path, address=vault.url))
    mark = tmp_path / "mark"
    found = done(run, "--timeout", "1s", "--", "touch", mark)
    assert found.returncode in (66, 77) and not mark.exists()
    with subprocess.Popen(command(run, "--timeout", "50s", "--", "touch", mark)) as waiting:
        time.sleep(0.5)
        assert waiting.poll() is None and not mark.exists()
        vault.set(Fault.NONE)
        assert waiting.wait(55) == 0
    assert mark.exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["exec"], "Missing expected argument '-- <cmd> ...'"),
        (["exec", "--restart", "--signal", "HUP", "--", "true"], "not both"),
        (["exec", "--signal", "KILL", "--", "true"], "is none of SIGHUP"),
        (["exec", "--variable", "A=B", "--", "true"], "cannot be a variable's name"),
        (["exec", "--variable", "VAULT_ADDR", "--", "true"], "VAULT_ADDR is not the token's"),
        (["exec", "--variable", "BAO_NAMESPACE", "--", "true"], "BAO_NAMESPACE is not the token's"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(arguments: list[str], complaint: str):
    found = run_once(arguments, {})
    assert found.status == 64 and complaint in found.log
