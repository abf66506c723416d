"""Sinks beyond the plain file: wrapped, with fewer policies, behind a socket, with actions, and gone with a reload."""

import base64
import json
import signal
import socket
import time

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from laboratory.processes import wait_until

CREATE_CHILDREN = 'path "auth/token/create" { capabilities = ["create", "update"] }'


@pytest.fixture(scope="module")
def policies(lab):
    for name, text in {
        "children": CREATE_CHILDREN,
        "reader": 'path "secret/*" { capabilities = ["read"] }',
        "writer": 'path "secret/*" { capabilities = ["update"] }',
    }.items():
        lab.bao.expect("PUT", f"sys/policies/acl/{name}", {"policy": text})
    lab.role("parent", ttl="6s", max_ttl="12s", policies=["children", "reader", "writer"])
    lab.role("long-parent", ttl="60s", policies=["children", "reader", "writer"])
    lab.role("steady", ttl="60s")


def lookup(lab, token):
    answer = lab.bao.call("POST", "auth/token/lookup", {"token": token})
    return answer.json["data"] if answer.status == 200 else None


def text(path):
    return path.read_text().strip() if path.exists() else ""


def sink(configuration, **keys):
    configuration["tokens"][0]["sinks"][0] |= keys


# Wrapped


def test_a_wrapped_sink_unwraps_once_and_is_replaced_before_it_expires(lab, tmp_path, policies):
    configuration = lab.configuration(tmp_path, role="steady")
    sink(configuration, wrap_ttl="10s", format="json")
    run = lab.agent(folder=tmp_path, configuration=configuration)
    first = json.loads(run.wait_for_token(10))
    lab.keep_secret(first["token"])
    assert first["ttl"] == 10 and first["creation_path"] == "sys/wrapping/wrap"
    token = lab.bao.expect("POST", "sys/wrapping/unwrap", {}, token=first["token"])["data"]["token"]
    lab.keep_secret(token)
    assert lookup(lab, token)["path"] == "auth/aws/login"
    assert lab.bao.call("POST", "sys/wrapping/unwrap", {}, token=first["token"]).status == 400

    wait_until(lambda: json.loads(run.token())["token"] != first["token"], 7.5, lambda: run.log)
    second = json.loads(run.token())
    lab.keep_secret(second["token"])
    assert lab.bao.expect("POST", "sys/wrapping/unwrap", {}, token=second["token"])["data"]["token"] == token
    assert lab.logins(since=run.started) == 1
    run.stop()


def test_a_wrapped_login_is_unwrapped_for_ordinary_sinks(lab, tmp_path, policies):
    configuration = lab.configuration(tmp_path, role="steady")
    configuration["tokens"][0]["auth"]["wrap_ttl"] = "60s"
    run = lab.agent(folder=tmp_path, configuration=configuration)
    assert lookup(lab, run.wait_for_token(10))["path"] == "auth/aws/login"
    run.stop()


def test_what_cannot_be_wrapped_is_never_written_bare_and_is_put_right_by_itself(lab, tmp_path, policies):
    from laboratory.web import Reply

    lab.front_door.answer("sys/wrapping/wrap", Reply.json(503, {"errors": ["Vault is sealed"]}), times=3)
    configuration = lab.configuration(tmp_path, role="steady")
    sink(configuration, wrap_ttl="60s")
    plain = tmp_path / "plain"
    configuration["tokens"][0]["sinks"].append({"type": "file", "path": str(plain)})
    run = lab.agent(folder=tmp_path, configuration=configuration)
    wait_until(lambda: text(plain), 10, lambda: run.log)
    wrapping = run.wait_for_token(10)
    lab.keep_secret(wrapping)
    assert wrapping != text(plain)
    assert lookup(lab, wrapping)["path"] == "sys/wrapping/wrap"
    asked = lab.front_door.count(since=run.started, path_ends="sys/wrapping/wrap")
    assert 4 <= asked <= 5
    run.stop()


# Child tokens


def test_a_child_token_has_only_its_policies_and_is_replaced_with_its_parent(lab, tmp_path, policies):
    configuration = lab.configuration(tmp_path, role="parent")
    child = tmp_path / "child"
    configuration["tokens"][0]["sinks"].append({"type": "file", "path": str(child), "policies": ["reader"]})
    run = lab.agent(folder=tmp_path, configuration=configuration)
    parent = run.wait_for_token(10)
    wait_until(lambda: text(child), 5, lambda: run.log)
    first = text(child)
    found = lookup(lab, first)
    assert found["policies"] == ["reader"] and found["path"] == "auth/token/create" and not found["orphan"]
    assert found["creation_ttl"] == 6
    wait_until(lambda: run.status_file.get("tokens"), 5, lambda: run.log)
    assert [token["name"] for token in run.status_file["tokens"]] == ["app", "app/1"]

    # Always a valid child, through two of the parent's lives.
    seen = {first}
    began = time.monotonic()
    while time.monotonic() < began + 22:
        current = text(child)
        assert lookup(lab, current) is not None or text(child) != current, run.log
        seen.add(current)
        time.sleep(0.1)
    lasted = time.monotonic() - began
    assert run.token() != parent and len(seen) >= 3
    # Not more children than their life of 6 s and their parents ask for, however long these 22 s were.
    asked = lab.front_door.count(since=run.started, path_ends="auth/token/create")
    parents = lab.front_door.count(since=run.started, path_ends="/login")
    assert len(seen) <= asked <= 2 + parents + lasted / (6 * 0.4), run.log
    run.stop()


def test_a_child_that_is_revoked_alone_is_replaced_alone(lab, tmp_path, policies):
    configuration = lab.configuration(tmp_path, role="long-parent")
    child = tmp_path / "child"
    configuration["tokens"][0]["sinks"].append({"type": "file", "path": str(child), "policies": ["reader"]})
    run = lab.agent(folder=tmp_path, configuration=configuration)
    parent = run.wait_for_token(10)
    wait_until(lambda: text(child), 5, lambda: run.log)
    first = text(child)
    lab.bao.revoke(first)
    wait_until(lambda: text(child) not in ("", first), 12, lambda: run.log)
    assert run.token() == parent and lab.logins(since=run.started) == 1
    run.stop()


def test_a_child_that_may_not_be_made_does_not_touch_its_parent(lab, tmp_path, policies):
    configuration = lab.configuration(tmp_path, role="steady")
    configuration["tokens"][0]["sinks"].append(
        {"type": "file", "path": str(tmp_path / "child"), "policies": ["reader"]}
    )
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(10)
    run.wait_for_log("Child token could not be made.*auth/token/create", 10)

    def phases():
        return {each["name"]: each["phase"] for each in run.status_file.get("tokens", [])}

    wait_until(lambda: phases() == {"app": "fresh", "app/1": "starting"}, 3, lambda: f"{phases()}")
    assert lookup(lab, token) is not None
    run.stop()


def test_the_end_revokes_parent_and_child_where_told_so(lab, tmp_path, policies):
    configuration = lab.configuration(tmp_path, role="long-parent")
    child = tmp_path / "child"
    configuration["tokens"][0]["sinks"].append({"type": "file", "path": str(child), "policies": ["reader"]})
    configuration["tokens"][0]["revoke_on_stop"] = True
    run = lab.agent(folder=tmp_path, configuration=configuration)
    wait_until(lambda: text(child), 5, lambda: run.log)
    tokens = [run.wait_for_token(10), text(child)]
    assert run.stop().status == 0
    assert [lookup(lab, token) for token in tokens] == [None, None]
    assert run.token() is None and not child.exists()


# Actions


def test_on_change_runs_once_for_each_rotation_and_never_sees_the_token(lab, tmp_path, policies):
    configuration = lab.configuration(tmp_path, role="steady")
    journal = tmp_path / "journal"
    script = 'tr "\\0" "\\n" </proc/$$/environ >>"$0"; tr "\\0" " " </proc/$$/cmdline >>"$0"; echo "$1 done" >>"$0"'
    for place, name in ((configuration["tokens"][0], "token"), (configuration["tokens"][0]["sinks"][0], "sink")):
        place["on_change"] = {"command": ["/bin/sh", "-c", script, str(journal) + "-" + name, name]}
    run = lab.agent(folder=tmp_path, configuration=configuration)
    tokens = [run.wait_for_token(10)]
    kinds = [tmp_path / "journal-token", tmp_path / "journal-sink"]

    def done():
        return [text(path).count(" done\n") + text(path).endswith(" done") for path in kinds]

    wait_until(lambda: done() == [1, 1], 5, lambda: (done(), run.log))
    run.child.signal(signal.SIGUSR1)
    tokens.append(run.wait_for_token(5, other_than=tokens[0]))
    wait_until(lambda: done() == [2, 2], 5, lambda: (done(), run.log))
    # A repair is no rotation.
    run.sink.unlink()
    run.wait_for_token(5)
    time.sleep(0.5)
    assert done() == [2, 2]
    assert "VAULT_TOKEN_AGENT_NAME=app" in text(kinds[0]) and "VAULT_TOKEN_AGENT_SINK" not in text(kinds[0])
    assert f"VAULT_TOKEN_AGENT_SINK={run.sink}" in text(kinds[1])
    for path in kinds:
        assert not [secret for secret in lab.secrets() | set(tokens) if secret in text(path)]
    run.stop()


def test_on_change_of_a_token_runs_once_for_it_though_one_sink_gets_it_later(lab, tmp_path, policies):
    late = tmp_path / "late"
    late.mkdir()
    configuration = lab.configuration(tmp_path, role="steady")
    configuration["tokens"][0]["sinks"].append({"type": "file", "path": str(late / "token")})
    journal = tmp_path / "journal"
    configuration["tokens"][0]["on_change"] = {"command": ["/bin/sh", "-c", 'echo >>"$0"', str(journal)]}
    run = lab.agent(folder=tmp_path, configuration=configuration)
    first = run.wait_for_token(10)
    wait_until(lambda: text(late / "token") == first and journal.exists(), 10, lambda: run.log)
    run.may_hold(tmp_path / "gone")
    late.rename(tmp_path / "gone")
    run.child.signal(signal.SIGUSR1)
    second = run.wait_for_token(10, other_than=first)
    run.wait_for_log("Sink could not be written", 5)
    late.mkdir()
    wait_until(lambda: text(late / "token") == second, 15, lambda: run.log)
    time.sleep(0.5)
    assert journal.read_text() == "\n\n"
    run.stop()


def test_a_json_sink_tells_the_new_expiry_after_a_renewal_and_keeps_its_time(lab, tmp_path, policies):
    lab.role("renewed", ttl="12s", max_ttl="60s")
    configuration = lab.configuration(tmp_path, role="renewed")
    sink(configuration, format="json")
    run = lab.agent(folder=tmp_path, configuration=configuration)
    first = json.loads(run.wait_for_token(10))
    modified = run.sink.stat().st_mtime_ns
    run.wait_for_log("Token renewed", 20)

    def found():
        return json.loads(run.token())

    wait_until(lambda: found()["expire_time"] > first["expire_time"], 2, lambda: (found(), run.log))
    assert found()["token"] == first["token"] and found()["metadata"] == first["metadata"]
    assert run.sink.stat().st_mtime_ns == modified
    run.stop()


def test_on_change_of_a_wrapped_sink_follows_its_content_and_that_of_the_token_the_token(lab, tmp_path, policies):
    configuration = lab.configuration(tmp_path, role="steady")
    for place, name in ((configuration["tokens"][0], "token"), (configuration["tokens"][0]["sinks"][0], "sink")):
        place["on_change"] = {"command": ["/bin/sh", "-c", 'echo >>"$0"', str(tmp_path / f"journal-{name}")]}
    sink(configuration, wrap_ttl="10s")
    run = lab.agent(folder=tmp_path, configuration=configuration)
    first = run.wait_for_token(10)
    run.wait_for_token(8, other_than=first)
    wait_until(lambda: (tmp_path / "journal-sink").read_text() == "\n\n", 3, lambda: run.log)
    assert (tmp_path / "journal-token").read_text() == "\n"
    run.stop()


# Sockets


def test_a_socket_hands_the_token_to_whoever_connects(lab, tmp_path, policies):
    configuration = lab.configuration(tmp_path, role="steady")
    path = tmp_path / "socket"
    configuration["tokens"][0]["sinks"].append({"type": "socket", "path": str(path), "mode": "0600"})
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(10)

    def read():
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(path))
            return client.makefile().read()

    assert read() == token
    # A reload that changes the token's settings keeps the socket served.
    configuration["tokens"][0]["renewal"] = {"expired_token": "remove"}
    run.configuration.write_text(json.dumps(configuration))
    run.child.signal(signal.SIGHUP)
    run.wait_for_log("New configuration in force", 10)
    wait_until(lambda: len(read()) > 10, 5, lambda: run.log)
    assert lookup(lab, read()) is not None
    run.stop()
    assert not path.exists()


# Reloads


def several(lab, tmp_path, **extra):
    """Tokens by name, each in a file of that name."""
    configuration = lab.configuration(tmp_path, role="steady")
    pattern = json.dumps(configuration["tokens"][0])
    configuration["tokens"] = []
    for name, keys in extra.items():
        token = json.loads(pattern) | {"name": name} | keys
        token["sinks"][0]["path"] = str(tmp_path / name)
        configuration["tokens"].append(token)
    return configuration


def reload(run, configuration):
    before = run.log.count("New configuration in force")
    run.configuration.write_text(json.dumps(configuration))
    run.child.signal(signal.SIGHUP)
    wait_until(lambda: run.log.count("New configuration in force") > before, 10, lambda: run.log)


def test_a_reload_lets_tokens_go_as_their_policy_says_and_leaves_the_others_alone(lab, tmp_path, policies):
    configuration = several(
        lab,
        tmp_path,
        stays={},
        kept={},
        removed={"renewal": {"expired_token": "remove"}},
        revoked={"revoke_on_stop": True},
    )
    run = lab.agent(folder=tmp_path, configuration=configuration)
    names = ["stays", "kept", "removed", "revoked"]
    wait_until(lambda: all(text(tmp_path / name) for name in names), 10, lambda: run.log)
    tokens = {name: text(tmp_path / name) for name in names}
    asked = lab.logins()
    configuration["tokens"] = configuration["tokens"][:1]
    reload(run, configuration)
    wait_until(lambda: lookup(lab, tokens["revoked"]) is None, 5, lambda: run.log)
    wait_until(lambda: not (tmp_path / "removed").exists() and not (tmp_path / "revoked").exists(), 5, lambda: run.log)
    assert text(tmp_path / "kept") == tokens["kept"] and lookup(lab, tokens["kept"]) is not None
    assert lookup(lab, tokens["removed"]) is not None
    assert text(tmp_path / "stays") == tokens["stays"] and lab.logins() == asked
    wait_until(lambda: [each["name"] for each in run.status_file["tokens"]] == ["stays"], 5, lambda: run.status_file)
    # Nobody looks after them any more.
    (tmp_path / "kept").unlink()
    (tmp_path / "stays").unlink()
    wait_until(lambda: text(tmp_path / "stays") == tokens["stays"], 5, lambda: run.log)
    assert not (tmp_path / "kept").exists()
    run.stop()


def test_a_reload_empties_the_sinks_that_a_token_does_not_list_any_more_unless_another_writes_there(
    lab, tmp_path, policies
):
    configuration = several(lab, tmp_path, one={}, two={})
    dropped, socket_path, moved = tmp_path / "dropped", tmp_path / "socket", tmp_path / "moved"
    more = [{"type": "file", "path": str(dropped)}, {"type": "file", "path": str(moved)}]
    configuration["tokens"][0]["sinks"] += [*more, {"type": "socket", "path": str(socket_path)}]
    run = lab.agent(folder=tmp_path, configuration=configuration)
    wait_until(lambda: text(tmp_path / "two") and text(moved) and text(dropped), 10, lambda: run.log)
    wait_until(socket_path.exists, 5, lambda: run.log)
    configuration["tokens"][0]["sinks"] = configuration["tokens"][0]["sinks"][:1]
    configuration["tokens"][1]["sinks"].append(more[1])
    reload(run, configuration)
    wait_until(lambda: not dropped.exists() and not socket_path.exists(), 5, lambda: run.log)
    wait_until(lambda: text(moved) and text(moved) == text(tmp_path / "two"), 5, lambda: run.log)
    assert lookup(lab, text(tmp_path / "one")) is not None and lookup(lab, text(moved)) is not None
    # Nobody of former times looks after it.
    dropped.write_text("mine")
    time.sleep(1)
    assert dropped.read_text() == "mine" and "Sink was disturbed" not in run.log
    run.stop()


def test_a_new_state_directory_is_said_to_need_a_restart(lab, tmp_path, policies):
    (tmp_path / "state").mkdir()
    configuration = lab.configuration(tmp_path, role="steady")
    run = lab.agent(folder=tmp_path, configuration=configuration)
    run.wait_for_token(10)
    configuration["state_directory"] = str(tmp_path / "state")
    reload(run, configuration)
    run.wait_for_log("state_directory.*restart", 3)
    assert not list((tmp_path / "state").iterdir())
    run.stop()


def test_a_refused_reload_leaves_nothing_behind(lab, tmp_path, policies):
    configuration = several(lab, tmp_path, stays={})
    run = lab.agent(folder=tmp_path, configuration=configuration)
    wait_until(lambda: text(tmp_path / "stays"), 10, lambda: run.log)
    token = text(tmp_path / "stays")
    wider = several(lab, tmp_path, stays={}, listens={}, bad={})
    wider["tokens"][1]["sinks"] = [{"type": "socket", "path": str(tmp_path / "listens")}]
    wider["tokens"][2]["sinks"][0]["path"] = str(tmp_path / "nowhere" / "token")
    run.configuration.write_text(json.dumps(wider))
    run.child.signal(signal.SIGHUP)
    run.wait_for_log("New configuration refused.*nowhere", 10)
    assert not (tmp_path / "listens").exists()
    assert text(tmp_path / "stays") == token
    run.stop()


# Encrypted


class EnvelopeReader:
    """A reader of Vault Agent's encrypted sinks, by an implementation that is not the agent's."""

    def __init__(self, key_file):
        self.private = X25519PrivateKey.generate()
        public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key_file = key_file
        self.key = json.dumps({"curve25519_public_key": base64.b64encode(public).decode()})

    def opened(self, path):
        """None: the sink is not there, or sealed for somebody else."""
        if not path.exists():
            return None
        theirs, nonce, payload = map(base64.b64decode, json.loads(path.read_text()).values())
        shared = self.private.exchange(X25519PublicKey.from_public_bytes(theirs))
        try:
            return AESGCM(shared).decrypt(nonce, payload, b"").decode()
        except InvalidTag:
            return None


def test_a_key_that_its_reader_is_still_writing_is_waited_for_and_keeps_no_other_token_away(lab, tmp_path, policies):
    configuration = lab.configuration(tmp_path, role="steady")
    reader = EnvelopeReader(tmp_path / "key")
    sink(configuration, dh_type="curve25519", dh_path=str(reader.key_file))
    other = json.loads(json.dumps(configuration["tokens"][0])) | {"name": "other"}
    other["sinks"] = [{"type": "file", "path": str(tmp_path / "other")}]
    configuration["tokens"].append(other)
    reader.key_file.write_text(reader.key[:30])
    run = lab.agent(folder=tmp_path, configuration=configuration)
    run.may_hold(tmp_path / "other")
    wait_until(lambda: text(tmp_path / "other"), 20, lambda: run.log)
    run.wait_for_log("code=file_unreadable", 20)
    assert not run.sink.exists()
    reader.key_file.write_text(reader.key)
    wait_until(run.sink.exists, 20, lambda: run.log)
    token = reader.opened(run.sink)
    lab.keep_secret(token)
    assert lookup(lab, token)["path"] == "auth/aws/login"


@pytest.mark.parametrize("swapped", [False, True], ids=["written over", "links swapped as Kubernetes does"])
def test_a_reader_with_a_new_key_finds_the_token_sealed_for_it(lab, tmp_path, policies, swapped):
    configuration = lab.configuration(tmp_path, role="steady")
    keys = tmp_path / "keys"
    keys.mkdir()

    def give(reader, version):
        if not swapped:
            reader.key_file.write_text(reader.key)
            return
        (keys / version).mkdir()
        (keys / version / "key").write_text(reader.key)
        (keys / "new").symlink_to(version)
        (keys / "new").rename(keys / "current")
        if not reader.key_file.is_symlink():
            reader.key_file.symlink_to("current/key")

    first, second = EnvelopeReader(keys / "key"), EnvelopeReader(keys / "key")
    give(first, "1")
    sink(configuration, dh_type="curve25519", dh_path=str(keys / "key"))
    run = lab.agent(folder=tmp_path, configuration=configuration)
    wait_until(lambda: first.opened(run.sink), 20, lambda: run.log)
    token = first.opened(run.sink)
    lab.keep_secret(token)
    logins = lab.logins()
    give(second, "2")
    wait_until(lambda: second.opened(run.sink) == token, 5, lambda: run.log)
    assert first.opened(run.sink) is None and lab.logins() == logins
    # A key that is gone, or not whole yet, leaves what is there.
    sealed = run.sink.read_bytes()
    (keys / "key").unlink()
    (keys / "key").write_text(second.key[:30])
    run.child.signal(signal.SIGHUP)
    run.wait_for_log("New configuration in force", 10)
    assert run.sink.read_bytes() == sealed
    assert lookup(lab, token)["path"] == "auth/aws/login"
