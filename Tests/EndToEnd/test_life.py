"""A token's life with a real server: maxima, deleted roles, seals, quotas, standby answers, restarts, stops."""

import json
import signal
import time

import pytest

from laboratory.processes import SLOWER, wait_until
from laboratory.web import Reply


def test_ready_is_told_to_systemd_only_once_the_sink_holds_a_token(lab, tmp_path):
    import socket

    from laboratory.faults import Fault

    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications:
        notifications.bind(str(path))
        notifications.settimeout(10)
        proxy = lab.fault_proxy()
        proxy.set(Fault.REFUSE)
        run = lab.agent(address=proxy.url, environment={"NOTIFY_SOCKET": str(path)})
        run.wait_for_log("refused|could not connect|unreachable", 10)
        proxy.set(Fault.NONE)
        heard = ""
        while "READY=1" not in heard:
            heard = notifications.recv(4096).decode()
            if "READY=1" in heard:
                assert lab.bao.remaining(run.token() or "none") is not None
        run.child.signal(signal.SIGTERM)
        while "STOPPING=1" not in heard:
            heard = notifications.recv(4096).decode()
        assert run.finish(10).status == 0


@pytest.mark.parametrize(
    "terms",
    [
        {"ttl": "12s", "max_ttl": "27s"},
        {"ttl": "12s", "period": "12s"},
        {"ttl": "12s", "type": "batch"},
        {"ttl": "12s", "no_default_policy": True},
    ],
    ids=["maximum", "periodic", "batch", "no default policy"],
)
def test_every_kind_of_token_is_kept_valid(lab, terms):
    name = "-".join(terms)
    lab.role(name, **terms)
    run = lab.agent(role=name)
    run.wait_for_token(10)
    # Longer than any maximum, and leases long enough for a machine that pauses for seconds.
    ends = time.monotonic() + 35
    while time.monotonic() < ends:
        token = run.token()
        assert token is not None
        left = lab.bao.remaining(token)
        assert left is not None or run.token() != token, run.log
        time.sleep(0.1)
    assert run.stop().status == 0


def test_a_token_that_never_expires_is_left_alone(lab):
    # Only root's tokens have no TTL; a login's is at most the mount's maximum, 768 h.
    lab.role("long", ttl="768h")
    run = lab.agent(role="long")
    run.wait_for_token(10)
    time.sleep(6)
    assert lab.front_door.count(since=run.started, path_ends="renew-self") == 0
    assert lab.front_door.count(since=run.started, path_ends="lookup-self") <= 1
    run.stop()


def test_limited_uses_are_not_spent(lab):
    lab.role("few", ttl="20s", num_uses=3)
    run = lab.agent(role="few")
    token = run.wait_for_token(10)
    time.sleep(7)
    found = lab.bao.expect("POST", "auth/token/lookup", {"token": token})["data"]
    assert found["num_uses"] == 3
    run.stop()


def test_a_deleted_role_leads_to_a_new_login_and_its_refusal_is_told(lab):
    lab.role("passing", ttl="5s")
    run = lab.agent(role="passing")
    run.wait_for_token(10)
    lab.mount.delete_role("passing")
    run.wait_for_log("entry for role passing not found", 10)
    assert run.child.running
    lab.role("passing", ttl="5s")
    wait_until(lambda: lab.bao.remaining(run.token() or "none") is not None, 40, lambda: run.log, interval=0.2)
    run.stop()


def test_a_seal_in_the_middle_is_lived_through(lab):
    run = lab.agent()
    token = run.wait_for_token(10)
    lab.bao.seal()
    run.wait_for_log("[Ss]ealed", 20)
    assert run.token() == token
    lab.bao.unseal()
    unsealed = time.monotonic()
    while lab.bao.remaining(run.token() or "none") is None:
        assert time.monotonic() - unsealed < 3 * SLOWER, run.log
        time.sleep(0.05)
    run.stop()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (412, "required index state not present"),
        (400, "cannot write to readonly storage"),
        (500, "local node not active but active cluster node not found"),
        (503, "Vault is in standby mode"),
    ],
)
def test_a_passing_answer_of_a_cluster_is_retried(lab, status, words):
    lab.front_door.answer("auth/aws/login", Reply.json(status, {"errors": [words]}), times=2)
    run = lab.agent()
    assert lab.bao.remaining(run.wait_for_token(10)) is not None
    run.stop()


def test_a_redirect_to_the_leader_is_followed(lab):
    leader = lab.front_door.url
    follower = lab.follower(leader)
    run = lab.agent(address=follower.url)
    assert lab.bao.remaining(run.wait_for_token(10)) is not None
    run.stop()


def test_a_quotas_retry_after_is_honoured(lab):
    reply = Reply.json(429, {"errors": ["request path is rate limited"]}, [("Retry-After", "4")])
    lab.front_door.answer("auth/aws/login", reply)
    run = lab.agent()
    run.wait_for_token(15)
    asked = [each.at for each in lab.front_door.exchanges if each.at >= run.started and each.path.endswith("/login")]
    assert len(asked) == 2 and asked[1] - asked[0] >= 4
    run.stop()


def test_warnings_of_vault_are_logged_once(lab):
    # Near the maximum every renewal warns of its shortened lease, each with another number of seconds.
    lab.role("warned", ttl="4s", max_ttl="9s")
    run = lab.agent(role="warned")
    run.wait_for_log("max_ttl", 15)
    run.stop()


def test_a_restart_takes_the_token_over(lab, tmp_path):
    lab.role("steady", ttl="60s")
    configuration = lab.configuration(tmp_path, role="steady")
    configuration["state_directory"] = str(tmp_path)
    first = lab.agent(folder=tmp_path, configuration=configuration)
    token = first.wait_for_token(10)
    time.sleep(0.5)
    before = lab.logins()
    for end in ("term", "kill", "kill"):
        if end == "term":
            assert first.stop().status == 0
        else:
            first.kill()
        first = lab.agent(folder=tmp_path, configuration=configuration)
        time.sleep(1.5)
        assert first.child.running, first.log
    assert first.token() == token
    assert lab.logins() == before
    first.stop()


def test_a_stop_with_revocation_leaves_no_token_alive(lab, tmp_path):
    configuration = lab.configuration(tmp_path)
    configuration["tokens"][0]["revoke_on_stop"] = True
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(10)
    assert run.stop().status == 0
    assert lab.bao.remaining(token) is None
    assert run.token() is None


def test_without_that_the_token_and_the_file_stay(lab):
    run = lab.agent()
    token = run.wait_for_token(10)
    assert run.stop().status == 0
    assert run.token() == token and lab.bao.remaining(token) is not None


def test_several_tokens_in_one_process_do_not_touch_each_other(lab, tmp_path):
    lab.role("second", ttl="12s")
    configuration = lab.configuration(tmp_path)
    for name, role in (("second", "second"), ("third", "nobody")):
        other = json.loads(json.dumps(configuration["tokens"][0]))
        other["name"] = name
        other["auth"]["role"] = role
        other["sinks"][0]["path"] = str(tmp_path / name)
        configuration["tokens"].append(other)
    run = lab.agent(folder=tmp_path, configuration=configuration)
    run.wait_for_token(10)
    run.wait_for_log("entry for role nobody not found", 10)
    run.wait_for_log("Token renewed token=second", 20)
    assert lab.bao.remaining((tmp_path / "second").read_text().strip()) is not None
    assert lab.bao.remaining(run.token() or "none") is not None
    assert not (tmp_path / "third").exists()
    run.stop()


def test_a_deleted_or_truncated_sink_is_repaired(lab):
    run = lab.agent()
    token = run.wait_for_token(10)
    run.sink.unlink()
    assert run.wait_for_token(6) == token
    run.sink.write_text("")
    wait_until(lambda: run.token() == token, 6, lambda: run.log)
    run.stop()
