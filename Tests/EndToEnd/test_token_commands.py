"""What scripts ask a running agent for: `get` a token, `wait` until there is one."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from laboratory.agent import AgentRun, agent_binary, run_once
from laboratory.faults import Fault
from laboratory.laboratory import Laboratory
from laboratory.processes import SLOWER


def configured(lab: Laboratory, folder: Path, *sinks: dict, address: str | None = None) -> dict:
    lab.role("calm", ttl="10m", max_ttl="1h")
    configuration = lab.configuration(folder, role="calm", address=address)
    if sinks:
        configuration["tokens"][0]["sinks"] = list(sinks)
    return configuration


def get(run: AgentRun, *arguments: str) -> tuple[int, str, str]:
    done = run_once(["get", "--config", run.configuration, *arguments], {}, prints_secrets=True)
    return done.status, done.output, done.log


def wait(run: AgentRun, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [agent_binary(), "wait", "--config", run.configuration, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_token_of_a_file_is_printed_by_name_or_without(lab: Laboratory, tmp_path: Path):
    run = lab.agent(folder=tmp_path, configuration=configured(lab, tmp_path))
    assert wait(run).returncode == 0
    assert get(run) == get(run, "app") == (0, run.token() + "\n", "")
    status, output, log = get(run, "other")
    assert (status, output) == (78, "") and "has no token other. It has app" in log


def test_the_token_of_a_socket_is_printed(lab: Laboratory, tmp_path: Path):
    socket = {"type": "socket", "path": str(tmp_path / "token.sock")}
    run = lab.agent(folder=tmp_path, configuration=configured(lab, tmp_path, socket))
    assert wait(run, "app").returncode == 0
    status, output, _ = get(run)
    assert status == 0 and lab.bao.remaining(output.strip()) is not None


@pytest.mark.parametrize("mode", ["0644", "0600"])
def test_of_several_sinks_the_first_that_may_be_read_counts(lab: Laboratory, mode: str):
    # The folders that pytest makes are the owner's alone.
    folder = lab.folder / f"of-all-users-{mode}"
    folder.mkdir()
    lab.folder.chmod(0o755)
    sinks = [
        {"type": "file", "path": str(folder / "token"), "mode": "0600"},
        {"type": "file", "path": str(folder / "second"), "mode": mode},
    ]
    run = lab.agent(folder=folder, configuration=configured(lab, folder, *sinks))
    run.may_hold(folder / "second")
    assert wait(run).returncode == 0
    other_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    command = [*other_user, agent_binary(), "get", "--config", run.configuration]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 * SLOWER, check=False)
    if mode == "0644":
        assert (done.returncode, done.stdout) == (0, run.token() + "\n"), done.stderr
    else:
        assert done.returncode == 66 and "Run it as a user that may read one of them" in done.stderr, done.stderr


def test_a_wrapped_sink_gives_no_token(lab: Laboratory, tmp_path: Path):
    wrapped = {"type": "file", "path": str(tmp_path / "token"), "wrap_ttl": "60s"}
    run = lab.agent(folder=tmp_path, configuration=configured(lab, tmp_path, wrapped))
    assert wait(run).returncode == 0
    status, output, log = get(run)
    assert (status, output) == (78, "") and "no sink of app holds the token as it is" in log


@pytest.fixture
def _children_may_be_made(lab: Laboratory) -> None:
    for name, path in {"mother": "auth/token/create", "narrow": "sys/wrapping/wrap"}.items():
        policy = f'path "{path}" {{ capabilities = ["update"] }}'
        lab.bao.expect("PUT", f"sys/policies/acl/{name}", {"policy": policy})
    lab.role("mother", ttl="10m", max_ttl="1h", policies=["mother", "narrow"])


@pytest.mark.usefixtures("_children_may_be_made")
def test_a_child_is_a_token_of_its_own_by_the_name_that_status_gives_it(lab: Laboratory, tmp_path: Path):
    socket = {"type": "socket", "path": str(tmp_path / "narrow.sock"), "policies": ["narrow"]}
    wrapped = {"type": "file", "path": str(tmp_path / "wrapped"), "policies": ["narrow"], "wrap_ttl": "60s"}
    plain = {"type": "file", "path": str(tmp_path / "token")}
    configuration = configured(lab, tmp_path, socket, plain, wrapped)
    configuration["tokens"][0]["auth"]["role"] = "mother"
    run = lab.agent(folder=tmp_path, configuration=configuration)
    assert wait(run).returncode == 0
    assert wait(run, "app/1", "--timeout", "1s").returncode == wait(run, "app/2", "--timeout", "1s").returncode == 0
    status, child, _ = get(run, "app/1")
    assert status == 0 and get(run, "app")[1] == run.token() + "\n" != child
    looked_up = lab.bao.expect("POST", "auth/token/lookup", {"token": child.strip()})
    assert looked_up["data"]["policies"] == ["narrow"]
    printing = ["exec", "--config", run.configuration, "app/1", "--", "printenv", "VAULT_TOKEN"]
    in_environment = run_once(printing, {}, prints_secrets=True)
    assert in_environment.output == child
    status, output, log = get(run, "app/2")
    assert (status, output) == (78, "") and "no sink of app/2 holds the token as it is" in log
    status, output, log = get(run, "app/3")
    assert (status, output) == (78, "") and "has no token app/3. It has app, app/1, app/2" in log
    # A file that the running agent has not read does not lead to another child.
    configuration["tokens"][0]["sinks"][0]["path"] = str(tmp_path / "other.sock")
    run.configuration.write_text(json.dumps(configuration))
    status, output, log = get(run, "app/1")
    assert (status, output) == (78, "") and "keeps app/1 in other sinks. Reload it" in log


@pytest.mark.usefixtures("_children_may_be_made")
def test_where_there_are_children_only_the_remedy_names_them(lab: Laboratory, tmp_path: Path):
    narrow = {"type": "file", "path": str(tmp_path / "narrow"), "policies": ["narrow"]}
    configuration = configured(lab, tmp_path, narrow)
    configuration["tokens"][0]["auth"]["role"] = "mother"
    run = lab.agent(folder=tmp_path, configuration=configuration)
    assert wait(run).returncode == 0
    status, output, log = get(run)
    assert (status, output) == (78, "") and "name one of app/1" in log
    assert get(run, "app/1") == (0, (tmp_path / "narrow").read_text() + "\n", "")


def test_a_stopped_agent_gives_no_token_though_its_file_is_there(lab: Laboratory, tmp_path: Path):
    run = lab.agent(folder=tmp_path, configuration=configured(lab, tmp_path))
    run.wait_for_token(20)
    assert wait(run).returncode == 0
    run.stop()
    assert (tmp_path / "token").exists()
    status, output, log = get(run)
    assert (status, output) == (66, "") and "the agent does not run" in log


def test_waiting_ends_when_vault_comes(lab: Laboratory, tmp_path: Path):
    vault = lab.fault_proxy()
    vault.set(Fault.REFUSE)
    run = lab.agent(folder=tmp_path, configuration=configured(lab, tmp_path, address=vault.url))
    short = wait(run, "--timeout", "1s")
    assert short.returncode == 1
    assert re.search(r"^(app: no token yet|cannot read the status file)", short.stdout, re.MULTILINE)
    assert get(run)[:2] in ((66, ""), (77, ""))
    command = [agent_binary(), "wait", "--config", run.configuration, "--timeout", "50s"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as waiting:
        time.sleep(0.5)
        assert waiting.poll() is None
        vault.set(Fault.NONE)
        assert waiting.wait(55) == 0
    assert get(run)[0] == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_each_shell_knows_the_commands(shell: str, tmp_path: Path):
    done = run_once(["completion", shell], {})
    assert done.status == 0 and "healthcheck" in done.output and "once-ready" in done.output
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=done.output, text=True, check=True)


def test_a_bare_command_prints_help_and_runs_nothing(tmp_path: Path):
    done = run_once([], {"VTA_CONFIG": "{}"})
    assert done.status == 0 and "SUBCOMMANDS" in done.output


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["stauts"], 'vault-token-agent has no command "stauts". Did you mean "status"?'),
        (["config", "chekc"], 'vault-token-agent config has no command "chekc". Did you mean "check"?'),
        (["zzzzzzzzzz"], "It has run, login"),
        (["\x1b[2Jrun\u202e"], r"\x1b[2Jrun\u202e"),
    ],
)
def test_a_mistyped_command_gets_a_suggestion(typed: list[str], meant: str):
    done = run_once(typed, {})
    assert done.status == 64 and done.output == ""
    assert meant in done.log
    assert "\x1b" not in done.log and "\u202e" not in done.log


def test_a_sink_that_a_reload_narrows_is_no_childs_before_it_holds_one(lab: Laboratory, tmp_path: Path):
    configuration = configured(lab, tmp_path)
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(10)
    assert wait(run).returncode == 0
    # Its role's policies do not let it make children.
    configuration["tokens"][0]["sinks"][0]["policies"] = ["default"]
    run.configuration.write_text(json.dumps(configuration))
    assert run_once(["reload", "--config", run.configuration], {}).status == 0
    run.wait_for_log("Child token could not be made", 20)
    status, output, log = get(run, "app/1")
    assert (status, output) == (77, "") and "Child token could not be made" not in log, log
    assert run_once(["healthcheck", "--config", run.configuration], {}).status == 1
    assert run.token() == token, "readers keep what they have"


VAULT_AGENT = """
pid_file = "./pidfile"
auto_auth {
  method "aws" {
    mount_path = "auth/aws"
    config = { type = "iam", role = "calm", header_value = "vault.example.com", region = "us-east-1" }
  }
  sink "file" { config = { path = "%s/token", mode = 0600 } }
}
cache { persist "kubernetes" { path = "%s" } }
template { source = "/etc/x.ctmpl", destination = "/etc/x" }
"""


def test_an_imported_configuration_logs_in(lab: Laboratory, tmp_path: Path):
    lab.role("calm", ttl="10m", max_ttl="1h")
    foreign = tmp_path / "vault-agent.hcl"
    foreign.write_text(VAULT_AGENT % (tmp_path, tmp_path))
    lab.may_hold.add(tmp_path / "token")
    done = run_once(["config", "import", foreign], {})
    assert done.status == 0
    assert [line.split(": ")[1] for line in done.log.splitlines()] == ["pid_file", "template"]
    command = [agent_binary(), "login", "--config", "-"]
    environment = {"PATH": os.environ["PATH"], "VAULT_ADDR": lab.front_door.url, **lab.environment()}
    login = subprocess.run(command, input=done.output.encode(), env=environment, capture_output=True, timeout=60)
    assert login.returncode == 0, login.stderr
    assert lab.bao.remaining((tmp_path / "token").read_text()) is not None
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


def test_an_import_that_would_not_load_says_so(tmp_path: Path):
    foreign = tmp_path / "vault-agent.hcl"
    foreign.write_text(
        'auto_auth { method "aws" { config = { type = "iam", role = "a" } } sink "file" { dh_type = "aes" '
        'config = { path = "/run/token" } } }'
    )
    done = run_once(["config", "import", "--quiet", foreign], {})
    assert done.status == 78 and "the result:" in done.log and "dh_type" in done.log
    refused = run_once(["config", "import", "-"], {})
    assert refused.status == 78 and "standard input is empty" in refused.log
