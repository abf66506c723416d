"""The unit's filter of system calls, measured: strace writes down which calls the release build, its commands and its
children make through a whole life. Each must be one that the unit permits, and that life must go well under the unit.
"""

import copy
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CONFIGURATION, Service, Services
from release import release_binary

from laboratory.aws_login import AwsRole
from laboratory.laboratory import REGION, SERVER_ID, Laboratory
from laboratory.processes import SLOWER

PLACE = "/run/vault-token-agent"
TRACES = "/run/traces"
AGENT = "/usr/bin/vault-token-agent"
# Names only: who makes itself unreadable, as the agent does, has its arguments to itself.
STRACE = "/usr/bin/strace -f -qq -e raw=all -e signal=none"
# Outside the filter: the tracer is the agent's child here and would be under it.
TRACED = f"""[Service]
SystemCallFilter=
ReadWritePaths={TRACES}
KillMode=mixed
ExecStart=
ExecStart={STRACE} -D -o {TRACES}/run {AGENT} run --config {CONFIGURATION}
ExecReload=
ExecReload={STRACE} -o {TRACES}/reload {AGENT} reload --config {CONFIGURATION} --pid $MAINPID
"""
HELPER = """#!/usr/bin/python3
import shutil, ssl, subprocess, sys
ssl.create_default_context()
sys.stdout.write(subprocess.run(["cat", "/etc/keys.json"], capture_output=True, text=True, check=True).stdout)
"""
PROFILE = "[default]\ncredential_process = /usr/local/bin/helper\n"
# What commands do: text tools, files, and systemctl, which is refused here for want of the polkit rule.
ON_CHANGE = "; ".join(
    [
        f"date | sed s/./x/ >{PLACE}/changed.new",
        f"sync {PLACE}/changed.new",
        f"mv {PLACE}/changed.new {PLACE}/changed",
        "systemctl --no-ask-password try-restart --no-block example-consumer.service || true",
    ]
)
# Not left out of any trace that shows what it is to show.
CERTAIN = {
    "execve", "clone3", "epoll_wait", "timerfd_settime", "renameat", "fchownat", "fsync", "bind", "listen", "connect",
    "sendto", "wait4", "prctl", "inotify_add_watch", "landlock_create_ruleset", "getdents64", "exit_group",
}  # fmt: skip
# Dispatch would raise the priority of a thread, which the kernel itself refuses to this user; nothing is lost by it.
REFUSED = {"setpriority"}
# Ways into the kernel and into other processes, of which neither the agent nor what it starts makes use.
USELESS = {
    "add_key", "bpf", "io_setup", "io_submit", "io_uring_enter", "io_uring_setup", "kcmp", "keyctl", "mount",
    "name_to_handle_at", "open_by_handle_at", "perf_event_open", "personality", "pidfd_getfd", "process_vm_readv",
    "process_vm_writev", "ptrace", "remap_file_pages", "request_key", "setgid", "setresuid", "setuid", "userfaultfd",
    "vmsplice",
}  # fmt: skip


@pytest.fixture
def service(services: Services, lab: Laboratory, tmp_path: Path) -> Service:
    user = lab.aws.user
    bound = AwsRole(bound_principals=[f"arn:aws:iam::{lab.aws.account}:user/*"])
    lab.role("restless", bound, ttl="10s", max_ttl="10m")
    lab.role("settled", bound, ttl="10m", max_ttl="1h")
    keys = {"Version": 1, "AccessKeyId": user.access_key, "SecretAccessKey": user.secret_key}
    for name, text in {
        "helper": HELPER,
        "profile": PROFILE,
        "keys": json.dumps(keys),
        # After the laboratory's own, by its name.
        "profile.conf": "[Service]\nEnvironment=AWS_CONFIG_FILE=/etc/aws-config\n",
    }.items():
        (tmp_path / name).write_text(text)
    lab.may_hold.add(tmp_path / "keys")
    made = services(
        binary=release_binary(),
        files=[
            (tmp_path / "helper", "/usr/local/bin/helper", "0755"),
            (tmp_path / "profile", "/etc/aws-config", "0644"),
            (tmp_path / "keys", "/etc/keys.json", "0644"),
        ],
        dropins=[tmp_path / "profile.conf"],
        # By its name, so that names are looked up.
        vault={"address": lab.front_door.url.replace("127.0.0.1", "localhost")},
    )
    (token,) = made.configuration["tokens"]
    token["auth"] = {"type": "iam", "role": "restless", "header_value": SERVER_ID, "region": REGION}
    token["on_change"] = {"command": ["/bin/sh", "-c", ON_CHANGE]}
    token["sinks"] += [
        {"type": "file", "path": f"{PLACE}/environment", "format": "env"},
        {"type": "socket", "path": f"{PLACE}/socket", "mode": "0600"},
    ]
    made.configure(
        confine_to=[PLACE, "/var/lib/vault-token-agent"],
        reload_on_change=True,
        metrics={"listen": f"unix://{PLACE}/metrics", "textfile": f"{PLACE}/agent.prom"},
    )
    return made


def ask(service: Service, name: str, question: bytes = b"") -> str:
    """What comes out of a socket of the agent's."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10 * SLOWER)
        client.connect(str(service.machine.root / f"{PLACE}/{name}".lstrip("/")))
        if question:  # the token's socket asks for none, and has hung up by now
            client.sendall(question)
        return client.makefile().read()


def a_whole_life(service: Service, command: Callable[..., None]) -> None:
    """From the start to the stop, everything that the agent does; `command` runs one of the agent's commands."""
    machine, before = service.machine, copy.deepcopy(service.configuration["tokens"])

    def file(name: str) -> Path:
        return machine.root / f"{PLACE}/{name}".lstrip("/")

    def token() -> str:
        return file("token").read_text() if file("token").exists() else ""

    service.start()
    assert "landlock_create_ruleset: Operation not permitted" not in machine.journal()
    machine.wait_until(lambda: "Token renewed" in machine.journal(), "renewed", 30)
    machine.wait_until(lambda: token() == ask(service, "socket") and service.is_valid(token()), "good", 30)
    machine.wait_until(file("changed").exists, "done by the on_change command", 30)
    assert "vault_token_agent_" in ask(service, "metrics", b"GET /metrics HTTP/1.1\r\nHost: agent\r\n\r\n")
    machine.wait_until(file("agent.prom").exists, "written for a collector", 30)
    # Another role and another sink, by a reload that is asked for; another sink again, when the file is another one.
    settled = copy.deepcopy(before)
    settled[0]["auth"]["role"] = "settled"
    settled[0]["sinks"].append({"type": "file", "path": f"{PLACE}/second", "mode": "0600"})
    service.configure(tokens=settled)
    reloaded = machine.systemctl("reload", machine.unit)
    assert reloaded.ok, machine.journal()
    machine.wait_until(file("second").exists, "written by the reload", 30)
    settled[0]["sinks"].pop()
    service.configure(tokens=settled)
    machine.wait_until(lambda: not file("second").exists(), "dropped when the file was another one", 60)
    first = token()
    assert machine.systemctl("kill", "--signal=USR1", "--kill-whom=main", machine.unit).ok
    machine.wait_until(lambda: token() not in {"", first}, "replaced", 30)
    # The status file lags behind the sinks.
    for words in ("wait", "healthcheck", "status", "get app", "exec app -- /bin/true", "doctor", "config check"):
        command(*words.split())
    command("logout")
    machine.wait_until(lambda: not file("token").exists(), "logged out", 30)
    assert machine.systemctl("stop", machine.unit).ok
    assert machine.show("Result")["Result"] == "success"
    service.configure(tokens=before)


def names(trace: str) -> set[str]:
    return set(re.findall(r"^\d+ +(?:<\.\.\. )?([a-z]\w*)(?:\(| resumed>)", trace, re.MULTILINE))


def test_the_unit_permits_every_call_of_a_whole_life_and_none_that_nobody_needs(service: Service, tmp_path: Path):
    machine = service.machine
    # The unit's environment is not a command's own.
    variables = {**service.lab.environment(), "AWS_CONFIG_FILE": "/etc/aws-config"}
    agent = ["/usr/bin/env", *(f"{name}={value}" for name, value in variables.items()), AGENT]

    def command(*words: str) -> None:
        done = machine.run(*agent, *words, "--config", CONFIGURATION)
        assert done.ok, done.output

    a_whole_life(service, command)
    # As systemd itself reads the unit, every group taken apart.
    permitted = set(machine.show("SystemCallFilter")["SystemCallFilter"].split())
    assert permitted > {"read", "write"}
    assert not permitted & USELESS

    traces = 0

    def traced(*words: str) -> None:
        nonlocal traces
        traces += 1
        trace = f"{TRACES}/command-{traces}"
        done = machine.run(*STRACE.split(), "-o", trace, *agent, *words, "--config", CONFIGURATION)
        assert done.ok, done.output

    (machine.root / TRACES.lstrip("/")).mkdir(mode=0o777)
    (machine.root / TRACES.lstrip("/")).chmod(0o777)
    dropin = machine.root / f"etc/systemd/system/{machine.unit}.d/traced.conf"
    dropin.write_text(TRACED)
    assert machine.systemctl("daemon-reload").ok
    a_whole_life(service, traced)
    made = {trace.name: names(trace.read_text()) for trace in (machine.root / TRACES.lstrip("/")).iterdir()}
    assert {"run", "reload", f"command-{traces}"} <= made.keys()
    assert not CERTAIN - set().union(*made.values()), "the traces do not show what they are to show"
    assert not {name: calls - permitted - REFUSED for name, calls in made.items() if calls - permitted - REFUSED}
