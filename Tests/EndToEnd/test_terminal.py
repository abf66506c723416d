"""What is another on a terminal than in a pipe: questions, colours, a picture drawn anew. The terminals are real."""

import json
import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest

from laboratory.agent import agent_binary, run_once
from laboratory.laboratory import Laboratory
from laboratory.processes import SLOWER, wait_until

NOWHERE = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nonexistent", "PATH": "/usr/bin:/bin"}


# What moves a cursor, rings, turns writing round, hides or is a control in one character.
STEERING = "\x1b[2J\x07\u202e\u2066\u200b\x9b\x7f"


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *arguments: str | Path, environment: dict[str, str]):
        self._own, other = pty.openpty()
        self.text = ""
        self.process = subprocess.Popen(
            [agent_binary(), *arguments], stdin=other, stdout=other, stderr=other, env=environment,
            start_new_session=True,
        )  # fmt: skip
        os.close(other)

    def expect(self, text: str, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds * SLOWER
        while text not in self.text:
            assert time.monotonic() < deadline, f"no {text!r} in {self.text!r}"
            if select.select([self._own], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self._own, 4096).decode()
                except OSError:  # the other end is closed
                    assert text in self.text, f"no {text!r} in {self.text!r}"

    def type(self, text: str) -> None:
        os.write(self._own, text.encode())

    def end(self) -> int:
        status = self.process.wait(20 * SLOWER)
        os.close(self._own)
        return status


def test_init_asks_for_what_it_could_not_find_out(tmp_path: Path):
    file = tmp_path / "config.json"
    terminal = Terminal("init", "--output", file, environment=NOWHERE)
    terminal.expect("Vault's URL?")
    terminal.type("  https://vault.example.com:8200 \n")
    terminal.expect("Vault's role?")
    terminal.type("app\n")
    terminal.expect("Value of X-Vault-AWS-IAM-Server-ID, if any?")
    terminal.type("\n")
    terminal.expect(f"Wrote {file}.")
    terminal.expect("vault write auth/aws/role/app")
    assert terminal.end() == 0
    written = json.loads(file.read_text())
    assert written["vault"]["address"] == "https://vault.example.com:8200"
    assert written["tokens"][0]["auth"]["role"] == "app" and "header_value" not in written["tokens"][0]["auth"]
    assert run_once(["config", "check", "--quiet", "--no-files", "--config", file], {}).status == 0


def test_init_offers_what_it_found_as_the_answer(lab: Laboratory, tmp_path: Path):
    file = tmp_path / "config.json"
    terminal = Terminal("init", "--output", file, environment={"PATH": "/usr/bin:/bin", **lab.environment()})
    terminal.expect("Vault's URL?")
    terminal.type(f"{lab.front_door.url}\n")
    terminal.expect("Vault's role [app]?")
    terminal.type("\n")
    terminal.expect("if any?")
    terminal.type("vault.example.com\n")
    terminal.expect(f"Wrote {file}.")
    assert terminal.end() == 0
    auth = json.loads(file.read_text())["tokens"][0]["auth"]
    assert (auth["role"], auth["header_value"]) == ("app", "vault.example.com")


def test_init_without_an_answer_names_the_flag_and_writes_nothing(tmp_path: Path):
    file = tmp_path / "config.json"
    terminal = Terminal("init", "--output", file, environment=NOWHERE)
    terminal.expect("Vault's URL?")
    terminal.type("\n")
    terminal.expect("give --address")
    assert terminal.end() == 64 and not file.exists()
    # Nobody is asked for what could not be written.
    file.write_text("{}")
    terminal = Terminal("init", "--output", file, environment=NOWHERE)
    terminal.expect("Remove it first")
    assert terminal.end() == 73 and "?" not in terminal.text


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({}, False),
    ],
)
def test_status_is_coloured_on_a_terminal_that_wants_it(
    lab: Laboratory, tmp_path: Path, variables: dict[str, str], coloured: bool
):
    lab.role("calm", ttl="10m", max_ttl="1h")
    run = lab.agent(folder=tmp_path, configuration=lab.configuration(tmp_path, role="calm"))
    run.wait_for_token(20)
    wait_until(lambda: run.status_file.get("ready") is True, 10, "ready")
    status = tmp_path / "status.json"
    terminal = Terminal("status", "--status-file", status, environment=variables)
    terminal.expect("1/1")
    assert terminal.end() == 0
    assert ("\x1b[32mfresh\x1b[0m" in terminal.text) == coloured
    assert ("\x1b" in terminal.text) == coloured and "[##########]" in terminal.text
    # A pipe is never coloured.
    assert "\x1b" not in run_once(["status", "--status-file", status], {"TERM": "xterm"}).output


def test_a_watched_status_is_drawn_anew_in_its_place(lab: Laboratory, tmp_path: Path):
    lab.role("calm", ttl="10m", max_ttl="1h")
    run = lab.agent(folder=tmp_path, configuration=lab.configuration(tmp_path, role="calm"))
    run.wait_for_token(20)
    status = tmp_path / "status.json"
    wait_until(lambda: run.status_file.get("ready") is True, 10, "ready")
    terminal = Terminal("status", "--watch", "--status-file", status, environment={"TERM": "xterm"})
    try:
        terminal.expect("last heartbeat")
        run.stop()
        terminal.expect("the agent was told to stop")
        assert terminal.text.count("\x1b[H") >= 2 and terminal.text.count("\x1b[J") >= 1
        status.unlink()
        terminal.expect("cannot read the status file")
    finally:
        terminal.process.terminate()
    assert terminal.end() == -15


@pytest.mark.parametrize(
    "arguments",
    [
        [STEERING],
        [f"--{STEERING}"],
        ["run", STEERING],
        ["--config", STEERING],
        ["config", "import", STEERING],
        ["status", "--status-file", STEERING],
        ["healthcheck", "--status-file", STEERING],
        ["wait", "--timeout", STEERING],
        ["completion", STEERING],
        ["exec", "--", STEERING],
        ["config", "check", "--config", "named.json"],
        ["config", "check", "--config", "unknown.json"],
        ["config", "show", "--config", "fine.json"],
        ["doctor", "--config", "fine.json"],
        ["credentials", "--config", "fine.json"],
    ],
    ids=lambda arguments: " ".join(arguments).replace(STEERING, "…"),
)
def test_nothing_that_others_have_named_steers_a_terminal(tmp_path: Path, arguments: list[str]):
    token = {
        "name": "app",
        "auth": {"type": "iam", "role": STEERING, "region": "us-east-1"},
        "sinks": [{"type": "file", "path": f"{tmp_path}/{STEERING}"}],
    }
    vault = {"address": "http://127.0.0.1:9"}
    for name, tokens in {
        "fine": [token],
        "named": [token | {"name": STEERING}],
        "unknown": [token | {STEERING: 1}],
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"vault": vault, "tokens": tokens}))
    done = subprocess.run(
        [agent_binary(), *arguments],
        stdin=subprocess.DEVNULL, capture_output=True, cwd=tmp_path, timeout=60 * SLOWER,
        env=NOWHERE | {"AWS_PROFILE": STEERING},
    )  # fmt: skip
    shown = (done.stdout + done.stderr).decode()
    assert shown
    assert not [mark for mark in STEERING if mark in shown and mark.isprintable() is False], shown
