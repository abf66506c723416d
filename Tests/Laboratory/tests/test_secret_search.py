"""The search for secrets finds one in each place and in each form in which an agent could leave it."""

import base64
import json
import signal
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest

from laboratory import places
from laboratory.agent import run_once, unsearched
from laboratory.processes import wait_until
from laboratory.secret_search import SecretLeaked, insist_on_none, secrets_in

SECRET = "s.AbCdEf/0123+456789=xyz"
SHORT = "s.AbCdEf0123"  # fits into a thread's name


@pytest.mark.parametrize(
    "text",
    [
        f"token={SECRET}",
        urllib.parse.quote(f"token={SECRET}", safe=""),
        urllib.parse.quote(f"token={SECRET}"),
        "".join(f"%{byte:02x}" for byte in SECRET.encode()),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        *(base64.b64encode(b"x" * before + SECRET.encode() + b"yz").decode() for before in range(3)),
        *(base64.urlsafe_b64encode(b"x" * before + SECRET.encode() + b"yz").decode() for before in range(3)),
        json.dumps(SECRET).replace("/", "\\/"),
        "".join(each if each.isalnum() else f"\\u{ord(each):04x}" for each in SECRET),
        "".join(f"\\u{ord(each):04X}" for each in SECRET),
    ],
)
def test_a_secret_is_found_however_it_was_encoded(text):
    assert secrets_in(f"before {text} after", {SECRET}) == ["s.Ab… (24 characters)"]


def test_no_secret_is_found_where_none_is():
    assert secrets_in("an ordinary line, s.AbCdEf", {SECRET, "short"}) == []


# What a process does with its argument, the secret as hex, so that it stands nowhere else.
LEAKS = {
    "/proc/cmdline": "os.execv(sys.executable, [sys.executable, '-c', END, secret])",
    "/proc/environ": "os.execve(sys.executable, [sys.executable, '-c', END], {'TOKEN': secret})",
    "/proc/task/comm": "threading.Thread(target=lambda: (rename(secret), time.sleep(90)), daemon=True).start()",
    "/proc/maps": "file = os.open(secret, os.O_RDWR | os.O_CREAT); os.truncate(file, 9); kept = mmap.mmap(file, 9)",
    "/proc/fd": "kept = open(secret, 'w')",
    "the nameless file": "kept = open('t', 'w'); kept.write(secret); kept.flush(); os.unlink('t')",
    "the nameless file /memfd:": "os.write(os.memfd_create('m'), secret.encode())",
}
PROGRAM = """
import ctypes, mmap, os, sys, threading, time
END = "print(flush=True); input()"
rename = lambda name: open("/proc/thread-self/comm", "w").write(name)
secret = bytes.fromhex(sys.argv[1]).decode()
{leak}
time.sleep(0.2)
exec(END)
"""


@pytest.mark.parametrize("place", LEAKS)
def test_what_proc_shows_of_a_process_is_searched(tmp_path, place):
    secret = SHORT
    command = [sys.executable, "-c", PROGRAM.format(leak=LEAKS[place]), secret.encode().hex()]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = {name: data for name, data in places.of_process(process.pid).items() if name.startswith(place)}
        plain = {name: data for name, data in found.items() if secret.encode() in data}
        assert plain, (place, list(found))
        with pytest.raises(SecretLeaked, match=f"in {place}"):
            insist_on_none(found, {secret})
        process.kill()


def test_memory_is_searched_and_what_was_wiped_is_not_found():
    program = """
import sys
kept = bytearray(bytes.fromhex(sys.stdin.readline()))
print(flush=True)
sys.stdin.readline()
kept[:] = bytes(len(kept))
print(flush=True)
sys.stdin.readline()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None

        def after(line: str) -> bytes:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            process.stdout.readline()
            return places.memory(process.pid)

        # In halves that are never together in this process's text.
        secret = bytes(byte ^ 0x01 for byte in SECRET.encode())
        assert secret in after(secret.hex())
        assert secret not in after("")
        process.stdin.close()


def test_a_folder_is_searched_but_for_what_may_hold_secrets(tmp_path):
    (tmp_path / "sinks").mkdir()
    (tmp_path / "sinks" / "token").write_text(SECRET)
    (tmp_path / "token").write_text(SECRET)
    but = [tmp_path / "sinks", tmp_path / "token"]
    insist_on_none(places.files(tmp_path, but), {SECRET})
    for name in ("log", "status.json", "core", ".4711.vta-0a1b", "deep/down/metrics.prom"):
        planted = tmp_path / name
        planted.parent.mkdir(parents=True, exist_ok=True)
        planted.write_bytes(b"\x7fELF\0" + SECRET.encode().hex().encode() + b"\0")
        with pytest.raises(SecretLeaked, match=str(planted)):
            insist_on_none(places.files(tmp_path, but), {SECRET})
        planted.unlink()
    (tmp_path / SHORT).touch()
    with pytest.raises(SecretLeaked, match="the names below"):
        insist_on_none(places.files(tmp_path, but), {SHORT})


def test_what_a_process_writes_is_searched_but_for_sinks_and_connections(tmp_path):
    (tmp_path / "sinks").mkdir()
    program = f"""
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
one = socket.create_connection(listener.getsockname())
one.sendall(b"{SECRET}")
open("sinks/.new", "w").write("{SECRET}")
if len(sys.argv) > 1:
    open("elsewhere", "w").write("some {SECRET} there")
    os.unlink("elsewhere")
"""
    for leaks in ([], ["leaks"]):
        trace = tmp_path / f"trace{len(leaks)}"
        command = [*places.STRACE, "-o", trace, sys.executable, "-c", program, *leaks]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
        assert SECRET.encode() in trace.read_bytes()
        found = places.written(trace.read_bytes(), [tmp_path / "sinks" / "token"])
        assert bool(secrets_in(found, {SECRET})) == bool(leaks), found[:2000]


# As tests use it


def test_what_a_test_leaves_in_an_agents_folder_fails_it(lab):
    run = lab.agent()
    token = run.wait_for_token(20)
    leftover = run.folder / "leftover"
    leftover.write_text(f"token: {token}")
    with pytest.raises(SecretLeaked, match="leftover"):
        run.stop()
    leftover.unlink()


def test_what_proc_shows_of_an_agent_fails_the_test(lab):
    run = lab.agent()
    run.wait_for_token(20)
    run._secrets = lambda: {str(run.configuration)}
    with pytest.raises(SecretLeaked, match="/proc/cmdline"):
        run.stop()
    run._secrets = set


def test_the_token_that_an_agent_holds_is_found_in_its_memory_and_the_ones_before_are_not(lab):
    lab.role("remembered", ttl="5s", max_ttl="8s")
    run = lab.agent(role="remembered")
    first = run.wait_for_token(20)
    with pytest.raises(SecretLeaked, match="in memory"):
        run.wait_until_forgotten({first}, 0)
    second = run.wait_for_token(20, other_than=first)
    run.wait_for_token(20, other_than=second)
    run.wait_until_forgotten({first}, 10)


def test_a_report_of_a_sanitizer_fails_the_test(lab):
    run = lab.agent()
    run.wait_for_token(20)
    log = run.log
    with run.log_path.open("a") as appended:
        appended.write("==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x1\n")
    with pytest.raises(AssertionError, match="AddressSanitizer: heap-use-after-free"):
        run.stop()
    run.log_path.write_text(log)


def test_the_output_of_commands_is_kept_for_the_search():
    run_once(["version"], {})
    assert "vault-token-agent" in unsearched[-1].output


# Of a real agent


def test_an_agent_writes_its_tokens_to_sinks_and_connections_alone(lab, tmp_path):
    lab.role("traced", ttl="5s", max_ttl="8s")
    (tmp_path / "sinks").mkdir()
    (tmp_path / "state").mkdir(mode=0o700)
    configuration = lab.configuration(tmp_path, role="traced")
    configuration["tokens"][0]["sinks"] = [
        {"type": "file", "path": str(tmp_path / "sinks" / "token")},
        {"type": "file", "path": str(tmp_path / "sinks" / "document"), "format": "json"},
    ]
    configuration |= {"state_directory": str(tmp_path / "state"), "log": {"format": "json", "level": "debug"}}
    run = lab.agent(folder=tmp_path, configuration=configuration, traced=True)
    sink = tmp_path / "sinks" / "token"
    wait_until(sink.exists, 20, "the first token")
    first = sink.read_text()
    wait_until(lambda: sink.read_text() != first, 20, "the next token")
    run.child.signal(signal.SIGTERM)
    run.finish()
    trace = (tmp_path / "trace").read_bytes()
    assert (first.encode() in trace and b"pwrite64(" in trace) or b"write(" in trace


def test_an_agent_that_crashes_leaves_no_core_and_no_secret(lab):
    run = lab.agent(prefix=("prlimit", "--core=unlimited:unlimited", "--"))
    run.wait_for_token(20)
    run.child.signal(signal.SIGABRT)
    run.child.wait(20)
    run.search()
    assert not list(Path(run.folder).glob("core*")), "a core dump"
