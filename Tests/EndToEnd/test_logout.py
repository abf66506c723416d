"""`logout`: no token at Vault and none in the sinks, with an agent that runs and without one."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from laboratory.agent import AgentRun, Finished, agent_binary, run_once
from laboratory.faults import Fault
from laboratory.laboratory import Laboratory
from laboratory.processes import wait_until


def configured(lab: Laboratory, folder: Path, address: str | None = None, **more: object) -> dict:
    lab.role("calm", ttl="10m", max_ttl="1h")
    configuration = lab.configuration(folder, role="calm", address=address) | more
    (folder / "state").mkdir(exist_ok=True)
    configuration["state_directory"] = str(folder / "state")
    return configuration


def log_out(lab: Laboratory, run: AgentRun, *arguments: str) -> Finished:
    return run_once(["logout", "--config", run.configuration, *arguments], lab.environment(), seconds=100)


def started(lab: Laboratory, folder: Path, configuration: dict) -> tuple[AgentRun, str]:
    run = lab.agent(folder=folder, configuration=configuration)
    token = run.wait_for_token(20)
    wait_until(lambda: run.status_file.get("ready") is True, 10, "ready")
    return run, token


def test_a_running_agent_lets_go_and_does_not_come_back_by_itself(lab: Laboratory, tmp_path: Path):
    run, token = started(lab, tmp_path, configured(lab, tmp_path))
    logins = lab.logins()
    assert log_out(lab, run) == Finished(0, "app: revoked, its sinks are empty\n", "")
    assert lab.bao.remaining(token) is None and not run.sink.exists()
    status = tmp_path / "status.json"
    assert run_once(["healthcheck", "--status-file", status], {}).status == 1
    assert "logged out at" in run_once(["status", "--status-file", status], {}).output
    assert run_once(["healthcheck", "--liveness", "--status-file", status], {}).status == 0
    for words in (["get"], ["exec", "--timeout", "1s"]):
        asked = run_once([*words, "--config", run.configuration, *(["--", "true"] * (words[0] == "exec"))], {})
        assert (asked.status, asked.output) == (77, "")
        assert re.search(r"told to log out at \S+Z\. vault-token-agent reload logs in anew", asked.log), asked.log
    # Neither that wakes it: a login on request, and somebody who puts a file in the sink's place.
    run.child.signal(signal.SIGUSR1)
    run.sink.write_text("not a token")
    time.sleep(2)
    assert run.sink.read_text() == "not a token" and lab.logins() == logins
    run.sink.unlink()
    # The second time there is nothing to do.
    assert log_out(lab, run) == Finished(0, "", "")

    reloaded = run_once(["reload", "--status-file", status], {})
    assert (reloaded.status, reloaded.output) == (0, "app: added\n")
    again = run.wait_for_token(20)
    assert again != token and lab.bao.remaining(again) is not None
    assert lab.logins() == logins + 1


def test_the_agent_of_another_configuration_is_left_alone(lab: Laboratory, tmp_path: Path):
    configuration = configured(lab, tmp_path)
    run, token = started(lab, tmp_path, configuration)
    other = tmp_path / "other.json"
    other.write_text(json.dumps(configuration | {"reload_on_change": True}))
    refused = run_once(["logout", "--config", other], lab.environment(), seconds=100)
    assert (refused.status, refused.output) == (70, "")
    assert f"status.json runs by {run.configuration}, not by {other}" in refused.log
    assert run.sink.read_text() == token and lab.bao.remaining(token) is not None
    # Another name of what it runs by, and what has been written there since, are its own.
    other.write_bytes(run.configuration.read_bytes())
    assert run_once(["logout", "--config", other], lab.environment(), seconds=100).status == 0
    run.configuration.write_text(json.dumps(configuration | {"reload_on_change": True}))
    assert log_out(lab, run).status == 0


@pytest.mark.parametrize("answers", [True, False], ids=["granted", "cut off"])
def test_a_login_that_is_under_way_leaves_no_token_behind(lab: Laboratory, tmp_path: Path, answers: bool):
    vault = lab.fault_proxy()
    vault.set(Fault.HANG if answers else Fault.BLACK_HOLE)
    run = lab.agent(folder=tmp_path, configuration=configured(lab, tmp_path, vault.url))
    wait_until(lambda: vault.requests > 0, 20, "the login")
    logout = ["logout", "--config", run.configuration]
    with subprocess.Popen([agent_binary(), *logout], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as told:
        run.wait_for_log("Told to log out", 20)
        vault.set(Fault.NONE)
        output, log = told.communicate(timeout=100)
    assert (told.returncode, output, log) == (0, "app: revoked, its sinks are empty\n", "")
    granted = re.findall(r"Logged in.*accessor=(\S+)", run.log)
    assert len(granted) == answers
    for accessor in granted:
        assert lab.bao.call("POST", "auth/token/lookup-accessor", {"accessor": accessor}).status == 400, "it lives"
    run.stop()


def test_children_go_with_the_login(lab: Laboratory, tmp_path: Path):
    configuration = configured(lab, tmp_path)
    creating = 'path "auth/token/create" { capabilities = ["create", "update"] }'
    lab.bao.expect("PUT", "sys/policies/acl/logout-parent", {"policy": creating})
    lab.role("calm", ttl="10m", max_ttl="1h", policies=["default", "logout-parent"])
    lesser = {"type": "file", "path": str(tmp_path / "lesser"), "policies": ["default"]}
    configuration["tokens"][0]["sinks"].append(lesser)
    run, token = started(lab, tmp_path, configuration)
    child = (tmp_path / "lesser").read_text()
    assert log_out(lab, run).output == "app: revoked, its sinks are empty\n"
    assert lab.bao.remaining(token) is None and lab.bao.remaining(child) is None
    assert not (tmp_path / "lesser").exists()


@pytest.mark.long(50)
def test_while_vault_is_away_the_sinks_are_emptied_and_what_lives_on_is_said(lab: Laboratory, tmp_path: Path):
    vault = lab.fault_proxy()
    run, token = started(lab, tmp_path, configured(lab, tmp_path, vault.url))
    vault.set(Fault.REFUSE)
    done = log_out(lab, run)
    assert done.status == 69 and not run.sink.exists()
    assert done.output.startswith("app: its sinks are empty, but it is not revoked: ")
    assert lab.bao.remaining(token) is not None


def test_without_an_agent_the_files_tokens_are_revoked_and_taken_away(lab: Laboratory, tmp_path: Path):
    configuration = configured(lab, tmp_path)
    second = {"type": "file", "path": str(tmp_path / "env"), "format": "env"}
    configuration["tokens"][0]["sinks"].append(second)
    run, token = started(lab, tmp_path, configuration)
    run.stop()
    assert lab.bao.remaining(token) is not None
    logins = lab.logins()
    assert log_out(lab, run) == Finished(0, "app: revoked, its sinks are empty\n", "")
    assert lab.bao.remaining(token) is None and lab.logins() == logins
    assert not run.sink.exists() and not (tmp_path / "env").exists()
    assert not list((tmp_path / "state").glob("takeover-*"))
    again = log_out(lab, run)
    assert (again.status, again.output) == (0, "app: its sinks are empty, and held nothing that could be revoked\n")


def test_without_an_agent_a_file_whose_token_cannot_be_revoked_stays(lab: Laboratory, tmp_path: Path):
    vault = lab.fault_proxy()
    run, token = started(lab, tmp_path, configured(lab, tmp_path, vault.url))
    run.stop()
    vault.set(Fault.REFUSE)
    done = log_out(lab, run)
    assert done.status == 69 and done.output.startswith("app: not done: ")
    assert run.token() == token
    vault.set(Fault.NONE)
    assert log_out(lab, run).status == 0
    assert lab.bao.remaining(token) is None and not run.sink.exists()


def test_a_token_that_is_dead_already_is_no_failure(lab: Laboratory, tmp_path: Path):
    run, token = started(lab, tmp_path, configured(lab, tmp_path))
    run.stop()
    lab.bao.revoke(token)
    assert log_out(lab, run).status == 0 and not run.sink.exists()


def test_an_agent_that_is_killed_while_logged_out_comes_back_with_its_next_start(lab: Laboratory, tmp_path: Path):
    configuration = configured(lab, tmp_path)
    run, token = started(lab, tmp_path, configuration)
    assert log_out(lab, run).status == 0
    run.kill()
    run = lab.agent(folder=tmp_path, configuration=configuration)
    run.wait_for_token(20, other_than=token)
    assert json.loads(run.configuration.read_text()) == configuration
