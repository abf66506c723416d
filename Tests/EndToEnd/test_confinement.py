"""`confine_to`: a service that can write nowhere but where it is told to, and lives its whole life so."""

import contextlib
import ctypes
import errno
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from laboratory.agent import AgentRun, run_once
from laboratory.laboratory import Laboratory
from laboratory.processes import wait_until

# landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION): the same number on every architecture.
LANDLOCK = ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1)
confining = pytest.mark.skipif(LANDLOCK < 1, reason="this kernel has no Landlock")
# Becomes the agent without Landlock, as on an older kernel: the call is refused with the number given.
WITHOUT = (
    "strace -D -f -qq -o /dev/null -e trace=landlock_create_ruleset -e inject=landlock_create_ruleset:error=ENOSYS"
)


@pytest.fixture
def configuration(lab: Laboratory, tmp_path: Path) -> dict:
    """All that is written is in `own`; nothing else may be."""
    own = tmp_path / "own"
    own.mkdir()
    lab.role("calm", ttl="10m", max_ttl="1h")
    made = lab.configuration(tmp_path, role="calm")
    made["tokens"][0]["sinks"] = [
        {"type": "file", "path": str(own / "token")},
        {"type": "socket", "path": str(own / "socket"), "mode": "0600"},
    ]
    return made | {
        "state_directory": str(own),
        "status_file": str(own / "status.json"),
        "metrics": {"textfile": str(own / "agent.prom"), "listen": f"unix://{own}/metrics"},
        "confine_to": [str(own)],
    }


def start(lab: Laboratory, folder: Path, configuration: dict, **options: object) -> AgentRun:
    run = lab.agent(folder=folder, configuration=configuration, **options)
    run.sink = folder / "own" / "token"
    return run


def reload(run: AgentRun, configuration: dict, expected: str) -> str:
    """The new line that tells how the reload ended."""
    before = run.log.count(expected)
    run.configuration.write_text(json.dumps(configuration))
    run.child.signal(signal.SIGHUP)
    wait_until(lambda: run.log.count(expected) > before, 20, expected)
    return [line for line in run.log.splitlines() if expected in line][-1]


@confining
def test_a_confined_agent_lives_its_whole_life(lab: Laboratory, tmp_path: Path, configuration: dict):
    own = tmp_path / "own"
    token = configuration["tokens"][0]
    token["on_change"] = {"command": ["/bin/sh", "-c", f'echo done >"{own}/changed" 2>/dev/null']}
    run = start(lab, tmp_path, configuration)
    first = run.wait_for_token(20)
    line = run.wait_for_log("Confined", 5)
    assert str(own) in line and f"landlock={LANDLOCK}" in line
    wait_until((own / "changed").exists, 20, "the command's file")
    for name in ("agent.prom", "status.json", "metrics", "socket"):
        wait_until((own / name).exists, 20, name)
    # Put right by the watch, replaced by a login, moved by a reload within its bounds, and taken over by a restart.
    (own / "token").write_text("damaged")
    wait_until(lambda: run.token() == first, 20, "put right")
    run.child.signal(signal.SIGUSR1)
    second = run.wait_for_token(20, other_than=first)
    token["sinks"][1]["path"] = str(own / "other")
    reload(run, configuration, "New configuration in force")
    wait_until(lambda: (own / "other").exists() and not (own / "socket").exists(), 20, "the socket's move")
    assert run.stop().status == 0
    assert not (own / "other").exists()
    again = start(lab, tmp_path, configuration)
    again.wait_for_log("Token of an earlier run found", 20)
    assert again.token() == second
    assert again.stop().status == 0


@confining
def test_a_directory_that_becomes_a_link_out_of_the_bounds_leads_nowhere(
    lab: Laboratory, tmp_path: Path, configuration: dict
):
    """Whoever may write in the sink's directory has the agent's hand led to where that one may not write itself."""
    place, outside = tmp_path / "own" / "place", tmp_path / "outside"
    place.mkdir()
    outside.mkdir()
    configuration["tokens"][0]["sinks"] = [{"type": "file", "path": str(place / "token")}]
    lab.may_hold.update({outside / "token", tmp_path / "own" / "aside" / "token"})
    run = start(lab, tmp_path, configuration)
    run.sink = place / "token"
    token = run.wait_for_token(20)
    # At one stroke, as far as the agent can see.
    run.child.signal(signal.SIGSTOP)
    place.rename(tmp_path / "own" / "aside")
    place.symlink_to(outside)
    run.child.signal(signal.SIGCONT)
    run.wait_for_log("Permission denied", 30)
    assert list(outside.iterdir()) == []
    # Doctor, who is not confined himself, sees why.
    checked = run_once(["doctor", "--no-login", "--config", run.configuration], lab.environment())
    assert f"{place}/token is written in {outside}, by a link out of what is listed. List {outside}" in checked.output
    # Put back as it was, or made anew: what is below the bounds may be written again.
    place.unlink()
    place.mkdir()
    run.child.signal(signal.SIGUSR1)
    run.wait_for_token(30, other_than=token)
    assert run.stop().status == 0
    # The same without bounds: it is they that kept it.
    shutil.rmtree(place)
    place.symlink_to(outside)
    del configuration["confine_to"]
    free = start(lab, tmp_path, configuration)
    free.sink = outside / "token"
    free.wait_for_token(20)
    assert free.stop().status == 0


@confining
def test_what_it_starts_is_confined_too(lab: Laboratory, tmp_path: Path, configuration: dict):
    own, outside = tmp_path / "own", tmp_path / "outside"
    script = f'echo x >"{outside}"; echo $? >"{own}/status.new"; mv "{own}/status.new" "{own}/said"'
    configuration["tokens"][0]["on_change"] = {"command": ["/bin/sh", "-c", script]}
    run = start(lab, tmp_path, configuration)
    wait_until((own / "said").exists, 20, "the command's end")
    assert (own / "said").read_text() != "0\n" and not outside.exists()
    # No thread was forgotten: each has given the rights up for itself, or was started by one that had.
    privileges = set()
    for task in Path(f"/proc/{run.child.pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            lines = (task / "status").read_text().splitlines()
            privileges.update(line for line in lines if line.startswith("NoNewPrivs:"))
    assert privileges == {"NoNewPrivs:\t1"}
    assert run.stop().status == 0


@confining
def test_a_reload_that_leads_out_of_the_bounds_is_refused_and_loses_nothing(
    lab: Laboratory, tmp_path: Path, configuration: dict
):
    run = start(lab, tmp_path, configuration)
    token = run.wait_for_token(20)
    wider = json.loads(json.dumps(configuration))
    wider["confine_to"].append(str(tmp_path))
    line = reload(run, wider, "The new confine_to counts from the next restart on")
    wider["tokens"][0]["sinks"].append({"type": "file", "path": str(tmp_path / "second")})
    run.configuration.write_text(json.dumps(wider))
    foreseen = run_once(["reload", "--dry-run", "--config", run.configuration], {})
    assert foreseen.status == 78 and f"{tmp_path}/second is outside of what" in foreseen.log
    shown = run_once(["status", "--config", run.configuration], {})
    assert f"Can write nowhere but below {tmp_path}/own\n" in shown.output
    line = reload(run, wider, "New configuration refused")
    assert f"{tmp_path}/second is outside of what this process has confined itself to ({tmp_path}/own)" in line
    assert "Restart the agent" in line
    assert run.token() == token and not (tmp_path / "second").exists()
    # By its own words it is right: after a restart it is in force.
    assert run.stop().status == 0
    again = start(lab, tmp_path, wider)
    wait_until((tmp_path / "second").exists, 20, "the second sink")
    assert again.token() == token
    assert again.stop().status == 0


def test_a_list_that_leaves_a_path_out_is_refused_by_name(lab: Laboratory, tmp_path: Path, configuration: dict):
    configuration["status_file"] = str(tmp_path / "own-not" / "status.json")
    configuration["tokens"][0]["sinks"][0]["path"] = str(tmp_path / "token")
    checked = lab.agent(folder=tmp_path, configuration=configuration, command=("config", "check")).finish()
    assert checked.status == 78
    said = checked.log + checked.output
    assert f"is not below {tmp_path}/own, where confine_to lets the agent write" in said
    assert "status_file" in said and "tokens[0].sinks[0].path" in said


@confining
def test_a_directory_that_is_not_there_is_named(lab: Laboratory, tmp_path: Path, configuration: dict):
    configuration["confine_to"].append(str(tmp_path / "late"))
    ended = start(lab, tmp_path, configuration).finish()
    assert ended.status == 73
    assert (
        f"open {tmp_path}/late: {os.strerror(errno.ENOENT)}" in ended.log and "list a directory above it" in ended.log
    )
    checked = run_once(["doctor", "--no-login", "--config", tmp_path / "agent.json"], lab.environment())
    assert f"failed   confine_to      cannot be confined to {tmp_path}/late" in checked.output


def test_a_kernel_without_landlock_is_told_of_once_and_all_else_is_as_ever(
    lab: Laboratory, tmp_path: Path, configuration: dict
):
    run = start(lab, tmp_path, configuration, prefix=tuple(WITHOUT.split()))
    run.wait_for_token(30)
    line = run.wait_for_log("Not confined", 5)
    assert os.strerror(errno.ENOSYS) in line and "Linux 5.13" in line
    assert run.stop(20).status == 0
