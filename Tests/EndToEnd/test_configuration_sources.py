"""The configuration without a file: a variable, standard input, a pipe."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from laboratory.agent import agent_binary, run_once
from laboratory.laboratory import Laboratory
from laboratory.processes import wait_until


@pytest.fixture
def text(lab: Laboratory, tmp_path: Path) -> str:
    lab.role("calm", ttl="10m", max_ttl="1h")
    return json.dumps(lab.configuration(tmp_path, role="calm"))


def started(lab: Laboratory, tmp_path: Path, *arguments: str, **options: object) -> subprocess.Popen:
    environment = {"PATH": os.environ["PATH"], **lab.environment(), **options.pop("variables", {})}
    with (tmp_path / "log").open("wb") as log:
        return subprocess.Popen([agent_binary(), *arguments], env=environment, stderr=log, **options)


def ends_with_a_token(lab: Laboratory, tmp_path: Path, agent: subprocess.Popen) -> None:
    try:
        wait_until(lambda: agent.poll() is not None or (tmp_path / "token").exists(), 20, (tmp_path / "log").read_text)
        assert agent.poll() is None, (tmp_path / "log").read_text()
        assert lab.bao.remaining((tmp_path / "token").read_text()) is not None
    finally:
        agent.terminate()
        assert agent.wait(20) == 0


def test_a_variable_is_enough_for_the_service_and_for_its_health_check(lab: Laboratory, text: str, tmp_path: Path):
    variables = {"VTA_CONFIG": text}
    agent = started(lab, tmp_path, "run", variables=variables)
    try:
        log = (tmp_path / "log").read_text
        wait_until(lambda: run_once(["healthcheck", "--once-ready"], variables).status == 0, 20, log)
    finally:
        ends_with_a_token(lab, tmp_path, agent)


def test_a_flag_stands_above_the_variable(text: str, tmp_path: Path):
    (tmp_path / "config.json").write_text(text)
    done = run_once(["config", "check", "--config", tmp_path / "config.json"], {"VTA_CONFIG": "not JSON"})
    assert done.status == 0, done.log
    assert run_once(["config", "check"], {"VTA_CONFIG": "not JSON"}).log.startswith(
        "vault-token-agent: VTA_CONFIG:1:1:"
    )


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_standard_input_is_enough(lab: Laboratory, text: str, tmp_path: Path, name: str):
    agent = started(lab, tmp_path, "run", "--config", name, stdin=subprocess.PIPE)
    agent.stdin.write(text.encode())
    agent.stdin.close()
    ends_with_a_token(lab, tmp_path, agent)


def test_a_named_pipe_is_waited_for(lab: Laboratory, text: str, tmp_path: Path):
    pipe = tmp_path / "configuration"
    os.mkfifo(pipe)
    agent = started(lab, tmp_path, "run", "--config", str(pipe))
    # Opens once the agent has opened its end.
    pipe.write_text(text)
    ends_with_a_token(lab, tmp_path, agent)


def test_a_reload_of_what_cannot_be_read_again_is_refused_and_changes_nothing(
    lab: Laboratory, text: str, tmp_path: Path
):
    agent = started(lab, tmp_path, "run", variables={"VTA_CONFIG": text})
    try:
        log = (tmp_path / "log").read_text
        wait_until((tmp_path / "token").exists, 20, log)
        agent.send_signal(signal.SIGHUP)
        wait_until(lambda: "cannot be read a second time" in log(), 20, log)
    finally:
        ends_with_a_token(lab, tmp_path, agent)


def test_what_never_ends_is_refused_at_its_bound():
    command = [agent_binary(), "config", "check", "--config", "-"]
    with open("/dev/zero", "rb") as endless:
        done = subprocess.run(command, stdin=endless, capture_output=True, timeout=20, check=False)
    assert done.returncode == 78
    assert b"standard input is longer than 1 MiB" in done.stderr


def test_nothing_on_standard_input_is_told_as_that():
    done = run_once(["config", "check", "--config", "-"], {})
    assert done.status == 78
    assert "standard input is empty" in done.log
