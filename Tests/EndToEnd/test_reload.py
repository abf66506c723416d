"""Reloads: no reader is turned away and no valid token lost by one, accepted or refused, with Vault there or away."""

import json
import os
import random
import re
import signal
import socket
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest

from laboratory.agent import agent_binary, run_once
from laboratory.config_map import ConfigMap
from laboratory.faults import Fault
from laboratory.processes import wait_until
from laboratory.web import Reply

# So many random reloads in the soak, three or four a second.
RELOADS = int(os.environ.get("RELOADS", "60"))


@pytest.fixture(scope="module")
def roles(lab):
    for name in ("long", "other"):
        lab.role(name, ttl="600s")
    lab.role("short", ttl="20s")


def read_socket(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(path))
        return client.makefile().read()


def put(run, configuration: dict | str) -> None:
    text = configuration if isinstance(configuration, str) else json.dumps(configuration)
    new = run.configuration.with_name("agent.json.new")
    new.write_text(text)
    new.rename(run.configuration)


def reload(run, configuration: dict | str) -> None:
    put(run, configuration)
    run.child.signal(signal.SIGHUP)


class Reader(threading.Thread):
    """Looks 50 times a second, and keeps what it found: a token, or why there was none."""

    def __init__(self, read):
        super().__init__(daemon=True)
        self._read = read
        self._ended = threading.Event()
        self.found: list[str] = []

    def run(self) -> None:
        while not self._ended.wait(0.02):
            try:
                self.found.append(self._read().strip())
            except OSError as error:
                self.found.append(f"({error})")

    def end(self) -> list[str]:
        self._ended.set()
        self.join(10)
        return self.found


def healthcheck(run) -> int:
    return run_once(["healthcheck", "--config", run.configuration], {}).status


def wait_until_healthy(run) -> None:
    """The status file follows sinks and log as soon as its disk allows."""
    wait_until(lambda: healthcheck(run) == 0, 20, lambda: run.log)


def with_socket(lab, folder: Path, address: str | None = None, role: str = "long") -> dict:
    configuration = lab.configuration(folder, address=address, role=role)
    configuration["tokens"][0]["sinks"].append({"type": "socket", "path": str(folder / "socket"), "mode": "0600"})
    return configuration


def test_a_sinks_mode_changes_while_vault_is_away_and_no_reader_notices(lab, tmp_path, roles):
    proxy = lab.fault_proxy()
    configuration = with_socket(lab, tmp_path, address=proxy.url)
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(10)
    wait_until(lambda: read_socket(tmp_path / "socket") == token, 5, lambda: run.log)
    proxy.set(Fault.REFUSE)
    configuration["tokens"][0]["sinks"][0]["mode"] = "0600"
    configuration["tokens"][0]["sinks"][1]["mode"] = "0660"
    reload(run, configuration)
    wait_until(lambda: stat.S_IMODE(run.sink.stat().st_mode) == 0o600, 5, lambda: run.log)
    wait_until(lambda: stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o660, 5, lambda: run.log)
    assert run.token() == token and read_socket(tmp_path / "socket") == token
    wait_until_healthy(run)
    run.stop()


def test_a_login_that_a_second_reload_takes_back_brings_no_token(lab, tmp_path, roles):
    proxy = lab.fault_proxy()
    configuration = lab.configuration(tmp_path, address=proxy.url, role="long")
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(10)
    proxy.set(Fault.HANG)
    asked = proxy.requests
    other = lab.configuration(tmp_path, address=proxy.url, role="other")
    reload(run, other)
    wait_until(lambda: proxy.requests != asked, 20, "the login with the other role")
    reload(run, configuration)
    wait_until(lambda: run.log.count("New configuration in force") == 2, 20, lambda: run.log)
    proxy.set(Fault.NONE)
    # The connection that hung is cut, or answered late: in neither case is what comes of it for readers.
    run.wait_for_log("Old token revoked|Token looked up|Login failed", 40)
    wait_until_healthy(run)
    assert run.token() == token and run.log.count("Token written") == 1
    assert lab.bao.remaining(token) is not None
    run.stop()


def test_a_refused_reload_cuts_no_socket_off_and_leaves_the_log_level(lab, tmp_path, roles):
    configuration = with_socket(lab, tmp_path)
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(10)
    wait_until(lambda: read_socket(tmp_path / "socket") == token, 5, lambda: run.log)
    bad = json.loads(json.dumps(configuration))
    bad["log"]["level"] = "error"
    bad["tokens"][0]["sinks"][1]["mode"] = "0660"
    bad["tokens"].append(json.loads(json.dumps(bad["tokens"][0])) | {"name": "bad"})
    bad["tokens"][1]["sinks"] = [{"type": "file", "path": str(tmp_path / "nowhere" / "token")}]
    reader = Reader(lambda: read_socket(tmp_path / "socket"))
    reader.start()
    for count in range(1, 21):
        reload(run, bad)
        wait_until(lambda count=count: run.log.count("New configuration refused") >= count, 10, lambda: run.log)
        time.sleep(0.05)
    found = reader.end()
    assert len(found) > 20 and set(found) == {token}
    assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o600
    reload(run, configuration)
    run.wait_for_log("notice.*New configuration in force", 5)
    run.stop()


def test_a_configuration_on_a_disk_that_does_not_answer_holds_up_nothing_else(lab, tmp_path, roles):
    slow = tmp_path / "slow.json"
    hangs = ("-e", "trace=read", "-P", str(slow), "-e", "inject=read:delay_enter=100000000")
    configuration = with_socket(lab, tmp_path)
    prefix = ("strace", "-D", "-f", "-o", "/dev/null", *hangs)
    run = lab.agent(folder=tmp_path, configuration=configuration, prefix=prefix)
    token = run.wait_for_token(10)
    slow.write_text(run.configuration.read_text())
    link = tmp_path / "link"
    link.symlink_to(slow)
    link.rename(run.configuration)
    run.child.signal(signal.SIGHUP)
    run.wait_for_log("Reading the configuration anew", 10)
    run.child.signal(signal.SIGUSR1)
    new = run.wait_for_token(10, other_than=token)
    wait_until(lambda: read_socket(tmp_path / "socket") == new, 5, lambda: run.log)
    assert "New configuration" not in run.log
    # It ends at once; strace has its parent wait for what it delays.
    run.child.signal(signal.SIGTERM)
    process = Path(f"/proc/{run.child.pid}/status")
    try:
        wait_until(lambda: "State:\tZ" in process.read_text(), 10, lambda: run.log)
    finally:
        tracer = int(re.search(r"^TracerPid:\t(\d+)$", process.read_text(), re.MULTILINE).group(1))
        os.kill(tracer, signal.SIGKILL)
    assert run.finish().status == 0


def test_a_token_whose_login_changed_stays_until_the_new_one_is_there(lab, tmp_path, roles):
    configuration = with_socket(lab, tmp_path)
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(10)
    configuration["tokens"][0]["auth"]["role"] = "nobody"
    reload(run, configuration)
    run.wait_for_log("entry for role nobody not found", 10)
    assert run.token() == token and read_socket(tmp_path / "socket") == token
    wait_until_healthy(run)
    configuration["tokens"][0]["auth"]["role"] = "other"
    reload(run, configuration)
    new = run.wait_for_token(10, other_than=token)
    wait_until(lambda: read_socket(tmp_path / "socket") == new, 5, lambda: run.log)
    run.stop()


def test_a_maintenance_page_for_a_lookup_costs_no_token(lab, tmp_path, roles):
    lab.front_door.answer("lookup-self", Reply(503, b"<html>maintenance</html>", [("Retry-After", "3600")]), times=1)
    run = lab.agent(folder=tmp_path, configuration=lab.configuration(tmp_path, role="short"))
    token = run.wait_for_token(10)
    run.wait_for_log("Lookup failed.*retry_after", 10)
    run.wait_for_log("Token renewed", 20)
    assert lab.bao.remaining(token) is not None and lab.logins(since=run.started) == 1
    lab.front_door.answer_itself()
    run.child.signal(signal.SIGUSR1)
    run.wait_for_token(10, other_than=token)
    run.wait_for_log("Logged in anew, as told", 5)
    run.stop()


def test_a_restart_in_an_outage_goes_on_where_it_was(lab, tmp_path, roles):
    proxy = lab.fault_proxy()
    configuration = lab.configuration(tmp_path, address=proxy.url, role="short")
    configuration["state_directory"] = str(tmp_path)
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(10)
    wait_until(lambda: (tmp_path / "takeover-app").exists(), 5, lambda: run.log)
    proxy.set(Fault.UNAVAILABLE)
    run.kill()
    run = lab.agent(folder=tmp_path, configuration=configuration)
    run.wait_for_log("Token of an earlier run found", 5)
    run.wait_for_log("Lookup failed", 10)
    assert lab.bao.remaining(token) is not None, "the test was too slow to say anything"
    wait_until_healthy(run)
    wait_until(lambda: lab.bao.remaining(token) is None, 30, lambda: run.log)
    wait_until(lambda: healthcheck(run) == 1, 20, lambda: run.log)
    proxy.set(Fault.NONE)
    back = time.monotonic()
    run.wait_for_token(10, other_than=token)
    assert time.monotonic() - back < 6, "8 % of the lease and what a busy machine takes, not up to 25 s"
    run.stop()


# The soak


def variation(chance: random.Random, lab, folder: Path, address: str) -> dict | str:
    """A configuration, or what cannot be one."""
    configuration = with_socket(lab, folder, address=address, role=chance.choice(["long", "long", "other", "nobody"]))
    token = configuration["tokens"][0]
    token["sinks"][0]["mode"] = chance.choice(["0600", "0640", "0644"])
    token["sinks"][1]["mode"] = chance.choice(["0600", "0660"])
    token["renewal"] = {"expired_token": chance.choice(["keep", "remove"])}
    if chance.random() < 0.3:
        token["sinks"].append({"type": "file", "path": str(folder / f"more-{chance.randrange(3)}")})
    if chance.random() < 0.3:
        another = json.loads(json.dumps(token)) | {"name": "another"}
        another["sinks"] = [{"type": "file", "path": str(folder / f"another-{chance.randrange(2)}")}]
        configuration["tokens"].insert(chance.randrange(2), another)
    match chance.randrange(5):
        case 0:
            configuration["tokens"][0]["sinks"].append({"type": "file", "path": str(folder / "nowhere" / "token")})
        case 1 if chance.random() < 0.5:
            return '{"tokens": ['
    return configuration


def test_a_reload_that_names_a_certificate_which_cannot_be_used_is_refused(lab, tmp_path, roles):
    run = lab.agent(folder=tmp_path, configuration=with_socket(lab, tmp_path))
    token = run.wait_for_token(10)
    (tmp_path / "empty.pem").write_text("no certificate")
    for name in ("absent.pem", "empty.pem"):
        new = with_socket(lab, tmp_path)
        new["vault"] = {"address": "https://127.0.0.1:1", "tls": {"ca_cert": str(tmp_path / name)}}
        reload(run, new)
        wait_until(lambda name=name: f"the CA file {tmp_path / name} cannot be used" in run.log, 10, lambda: run.log)
        wait_until(lambda: "New configuration refused" in run.log, 10, lambda: run.log)
    assert run.token() == token == read_socket(tmp_path / "socket")
    assert run.status_file["tokens"][0]["phase"] == "fresh"


def test_whatever_is_reloaded_readers_always_find_a_valid_token(lab, tmp_path, roles):
    chance = random.Random(20261127)
    proxy = lab.fault_proxy()
    run = lab.agent(folder=tmp_path, configuration=with_socket(lab, tmp_path, address=proxy.url))
    first = run.wait_for_token(10)
    wait_until(lambda: read_socket(tmp_path / "socket") == first, 5, lambda: run.log)
    readers = [Reader(lambda: run.sink.read_text()), Reader(lambda: read_socket(tmp_path / "socket"))]
    for reader in readers:
        reader.start()
    for _ in range(RELOADS):
        if chance.random() < 0.2:
            proxy.set(chance.choice([Fault.NONE, Fault.NONE, Fault.REFUSE, Fault.UNAVAILABLE, Fault.BLACK_HOLE]))
        reload(run, variation(chance, lab, tmp_path, proxy.url))
        time.sleep(chance.uniform(0.05, 0.5))
    proxy.set(Fault.NONE)
    put(run, with_socket(lab, tmp_path, address=proxy.url))
    done = run_once(["reload", "--config", run.configuration], {})
    assert done.status == 0, done.log
    wait_until(lambda: run.status_file.get("ready"), 40, lambda: run.log)
    for reader in readers:
        found = reader.end()
        # Every token of the run outlives it: what is no token, or not one of these, was a reader let down.
        strangers = [each for each in found if each not in lab.front_door.tokens]
        assert len(found) > RELOADS and not strangers, (len(found), strangers[:5])
        for token in set(found):
            assert lab.bao.remaining(token) is not None
    # How many there were depends on how many signals fell into one reload.
    assert "New configuration refused" in run.log and "New configuration in force" in run.log
    assert run.child.running
    run.stop()


# The command, and who holds the state


def test_the_reload_command_tells_what_changed_and_fails_where_it_was_refused(lab, tmp_path, roles):
    configuration = with_socket(lab, tmp_path)
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(10)
    wait_until(lambda: run.status_file.get("ready"), 5, lambda: run.log)

    def command(*more: str):
        return run_once(["reload", "--config", run.configuration, *more], {}, seconds=60)

    configuration["tokens"][0]["sinks"][0]["mode"] = "0600"
    configuration["tokens"].append(json.loads(json.dumps(configuration["tokens"][0])) | {"name": "new"})
    configuration["tokens"][1]["sinks"] = [{"type": "file", "path": str(tmp_path / "new")}]
    run.configuration.write_text(json.dumps(configuration))
    run.may_hold(tmp_path / "new")
    told = "app: changed: sinks\nnew: added\n"
    assert (command("--dry-run").output, "Reading the configuration" in run.log) == (told, False)
    done = command()
    assert (done.status, done.output) == (0, told), done.log
    wait_until(lambda: stat.S_IMODE(run.sink.stat().st_mode) == 0o600, 5, lambda: run.log)
    configuration["tokens"].pop()
    run.configuration.write_text(json.dumps(configuration))
    assert command().output == "app: kept\nnew: dropped\n"
    configuration["tokens"][0]["sinks"].append({"type": "file", "path": str(tmp_path / "nowhere" / "token")})
    run.configuration.write_text(json.dumps(configuration))
    refused = command()
    assert refused.status == 78 and "refused" in refused.log and "nowhere" in refused.log
    assert run.token() == token
    run.stop()
    assert command().status == 66


def test_the_reload_command_fails_where_the_agent_has_read_another_configuration(lab, tmp_path, roles):
    configuration = with_socket(lab, tmp_path)
    run = lab.agent(folder=tmp_path, configuration=configuration)
    run.wait_for_token(10)
    other = tmp_path / "other.json"
    configuration["tokens"][0]["sinks"][0]["mode"] = "0600"
    other.write_text(json.dumps(configuration))
    done = run_once(["reload", "--config", other], {}, seconds=60)
    assert (done.status, done.output) == (70, "app: kept\n")
    assert f"the agent has read {run.configuration}, which is not what {other} holds" in done.log
    assert run.status_file["configuration"]["name"] == str(run.configuration)
    # Another name of what it has read is as good.
    other.write_bytes(run.configuration.read_bytes())
    assert run_once(["reload", "--config", other], {}, seconds=60).status == 0


def test_the_plan_of_a_configuration_that_comes_by_a_pipe_is_told(lab, tmp_path, roles):
    configuration = with_socket(lab, tmp_path)
    run = lab.agent(folder=tmp_path, configuration=configuration)
    run.wait_for_token(10)
    wait_until(lambda: run.status_file.get("ready"), 5, lambda: run.log)
    configuration["tokens"][0]["sinks"][0]["mode"] = "0600"
    for source in ("-", "/dev/stdin"):
        done = subprocess.run(
            [agent_binary(), "reload", "--dry-run", "--config", source],
            input=json.dumps(configuration),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "app: changed: sinks\n"), done.stderr


def test_the_reload_command_does_not_tell_of_a_reload_that_was_under_way(lab, tmp_path, roles):
    """Its outcome comes late: it is on a disk that takes its time."""
    status = tmp_path / "reports" / "status.json"
    status.parent.mkdir()
    late = ("trace=renameat", "-P", str(status.parent), "-e", "inject=renameat:delay_enter=2000000")
    good = lab.configuration(tmp_path, role="long") | {"status_file": str(status)}
    prefix = ("strace", "-D", "-f", "-o", "/dev/null", "-e", *late)
    run = lab.agent(folder=tmp_path, configuration=good, prefix=prefix)
    wait_until(lambda: status.exists() and json.loads(status.read_text())["ready"], 20, lambda: run.log)
    bad = json.loads(json.dumps(good))
    bad["tokens"][0]["sinks"].append({"type": "file", "path": str(tmp_path / "nowhere" / "token")})
    reload(run, bad)
    run.wait_for_log("Reading the configuration anew", 10)
    run.wait_for_log("New configuration refused", 10)
    # Where this took longer than the disk does, there is nothing to be mistaken about any more.
    put(run, good)
    done = run_once(["reload", "--config", run.configuration], {}, seconds=60)
    assert (done.status, done.output) == (0, "app: kept\n"), done.log
    run.stop()


def test_a_killed_agent_is_seen_at_once(lab, tmp_path, roles):
    run = lab.agent(folder=tmp_path, configuration=lab.configuration(tmp_path, role="long"))
    run.wait_for_token(10)
    wait_until(lambda: healthcheck(run) == 0, 5, lambda: run.log)
    run.kill()
    for arguments in (["healthcheck"], ["healthcheck", "--liveness"]):
        done = run_once([*arguments, "--config", run.configuration], {})
        assert done.status == 1 and "is gone" in done.output
    assert "is gone" in run_once(["status", "--config", run.configuration], {}).output


def test_a_second_agent_on_the_same_state_is_refused_and_leaves_the_first_alone(lab, tmp_path, roles):
    configuration = lab.configuration(tmp_path, role="long") | {"state_directory": str(tmp_path)}
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(10)
    for shared in ("state_directory", "status_file"):
        other = lab.configuration(tmp_path / shared, role="long") | {shared: configuration[shared]}
        second = lab.agent(folder=tmp_path / shared, configuration=other).finish(20)
        assert second.status == 73 and "another agent runs here" in second.log
    wait_until_healthy(run)
    assert run.token() == token
    run.stop()


def started_from(lab, folder: Path, text: str):
    run = lab.agent(folder=folder, configuration=text)
    run.wait_for_token(20)
    wait_until(lambda: run.status_file.get("ready"), 40, lambda: run.log)
    return run


def reloads(run) -> int:
    return (run.status_file.get("last_reload") or {}).get("number", 0)


def watched(lab, folder: Path, *more: Path, on: bool = True) -> str:
    configuration = lab.configuration(folder, role="long") | {"reload_on_change": on}
    configuration["tokens"][0]["sinks"] += [{"type": "file", "path": str(path)} for path in more]
    return json.dumps(configuration, indent=2)


def test_a_changed_config_map_is_loaded_and_a_bad_one_refused(lab, tmp_path, roles):
    text = watched(lab, tmp_path)
    mounted = ConfigMap(tmp_path / "mounted", text)
    (tmp_path / "agent.json").symlink_to(mounted.file)
    run = started_from(lab, tmp_path, text)
    token, logins = run.token(), lab.logins()
    second, third = tmp_path / "second", tmp_path / "third"
    mounted.put(watched(lab, tmp_path, second))
    wait_until(lambda: second.exists() and second.read_text() == token, 40, lambda: run.log)
    # The next one is noticed too, though every directory and file of before is gone.
    bad = watched(lab, tmp_path, third).replace('"role"', '"rôle"')
    mounted.put(bad)
    run.wait_for_log("New configuration refused", 10)
    assert run.token() == second.read_text() == token and not third.exists()
    wait_until(lambda: "configuration_trouble" in run.status_file, 20, lambda: run.log)
    number = reloads(run)
    # The same content by another map is no change.
    mounted.put(bad)
    time.sleep(3)
    assert reloads(run) == number
    mounted.put(watched(lab, tmp_path, third))
    wait_until(lambda: third.exists() and not second.exists(), 40, lambda: run.log)
    assert run.token() == third.read_text() == token and lab.logins() == logins
    run.stop()


def test_what_the_machine_lacked_for_a_watched_file_is_looked_at_again(lab, tmp_path, roles):
    folder, file = tmp_path / "late", tmp_path / "agent.json"
    run = started_from(lab, tmp_path, watched(lab, tmp_path))
    token, logins = run.token(), lab.logins()
    file.write_text(watched(lab, tmp_path, folder / "token"))
    run.wait_for_log("tried again in 2s", 40)
    wait_until(lambda: "configuration_trouble" in run.status_file, 20, lambda: run.log)
    trouble = run.status_file["configuration_trouble"]
    assert trouble["code"] == "sink_unwritable" and str(folder) in trouble["observed"]
    # Told once, however often it was looked at.
    assert reloads(run) == 1
    folder.mkdir()
    wait_until((folder / "token").exists, 60, lambda: run.log)
    assert (folder / "token").read_text() == run.token() == token and lab.logins() == logins
    wait_until(lambda: reloads(run) == 2, 20, lambda: run.log)
    assert "configuration_trouble" not in run.status_file
    # What is in the file by now is what is looked at: one that asks for nothing more ends it.
    other = tmp_path / "other"
    file.write_text(watched(lab, tmp_path, folder / "token", other / "token"))
    run.wait_for_log("refused.*other", 40)
    file.write_text(watched(lab, tmp_path, folder / "token"))
    wait_until(lambda: "configuration_trouble" not in run.status_file, 40, lambda: run.log)
    other.mkdir()
    time.sleep(3)
    assert not (other / "token").exists()
    run.stop()


def test_without_a_watch_what_the_machine_lacks_is_refused_once(lab, tmp_path, roles):
    folder, file = tmp_path / "late", tmp_path / "agent.json"
    run = started_from(lab, tmp_path, watched(lab, tmp_path, on=False))
    file.write_text(watched(lab, tmp_path, folder / "token", on=False))
    done = run_once(["reload", "--config", file], {})
    assert done.status == 78
    assert "refused, the configuration before it is in force" in done.log and str(folder) in done.log
    folder.mkdir()
    time.sleep(3)
    assert not (folder / "token").exists() and reloads(run) == 1
    assert run_once(["reload", "--config", file], {}).status == 0
    wait_until((folder / "token").exists, 40, lambda: run.log)
    run.stop()


def test_a_file_that_is_written_in_several_steps_is_read_when_it_is_whole(lab, tmp_path, roles):
    file, second = tmp_path / "agent.json", tmp_path / "second"
    run = started_from(lab, tmp_path, watched(lab, tmp_path))
    text = watched(lab, tmp_path, second)
    with file.open("w") as writing:
        for start in range(0, len(text), 100):
            writing.write(text[start : start + 100])
            writing.flush()
            time.sleep(0.2)
    wait_until(second.exists, 40, lambda: run.log)
    wait_until(lambda: reloads(run) == 1, 20, lambda: run.log)
    assert "refused" not in run.log
    # An editor's way: another file, renamed over it.
    other = tmp_path / "new.json"
    other.write_text(watched(lab, tmp_path))
    other.rename(file)
    wait_until(lambda: not second.exists(), 40, lambda: run.log)
    # And gone for a while, which is no configuration to load.
    file.unlink()
    time.sleep(3)
    assert "refused" not in run.log
    file.write_text(watched(lab, tmp_path, second))
    wait_until(second.exists, 40, lambda: run.log)
    run.stop()


def test_a_changed_file_is_left_alone_unless_it_says_otherwise(lab, tmp_path, roles):
    file, second = tmp_path / "agent.json", tmp_path / "second"
    run = started_from(lab, tmp_path, watched(lab, tmp_path, on=False))
    file.write_text(watched(lab, tmp_path, second))
    time.sleep(3)
    assert not second.exists() and reloads(run) == 0
    run.child.signal(signal.SIGHUP)
    wait_until(second.exists, 40, lambda: run.log)
    # That one says so, until one says it no more.
    file.write_text(watched(lab, tmp_path, on=False))
    wait_until(lambda: not second.exists(), 40, lambda: run.log)
    file.write_text(watched(lab, tmp_path, second))
    time.sleep(3)
    assert not second.exists()
    run.stop()


def test_a_logged_out_agent_is_not_woken_by_a_changed_file(lab, tmp_path, roles):
    file, second = tmp_path / "agent.json", tmp_path / "second"
    run = started_from(lab, tmp_path, watched(lab, tmp_path))
    assert run_once(["logout", "--config", file], lab.environment(), seconds=100).status == 0
    file.write_text(watched(lab, tmp_path, second))
    run.wait_for_log("logged out, so it is read when told to reload", 20)
    assert not second.exists()
    assert run_once(["reload", "--config", file], {}).status == 0
    wait_until(second.exists, 40, lambda: run.log)
    run.stop()
