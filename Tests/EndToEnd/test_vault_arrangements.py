"""Arrangements of Vault that users have: namespaces, wrapped logins, other mounts, default roles, quotas, IPv6."""

import json
import signal
import time

import pytest

from laboratory.agent import run_once
from laboratory.aws import sts_error
from laboratory.processes import unshared, wait_until


def test_a_login_in_a_namespace(lab, tmp_path):
    lab.bao.expect("POST", "sys/namespaces/tenant", {})
    mount = lab.front_door.mount("auth/cloud/aws", namespace="tenant")
    lab.role("app", mount=mount, ttl="12s")
    configuration = lab.configuration(tmp_path)
    configuration["vault"]["namespace"] = "tenant"
    configuration["tokens"][0]["auth"]["mount_path"] = "auth/cloud/aws"
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(10)
    # Renewed in the namespace too, which stands in the header once and not in the path as well.
    run.wait_for_log("Token renewed", 20)
    found = lab.bao.expect("POST", "auth/token/lookup", {"token": run.token()}, namespace="tenant")["data"]
    assert found["namespace_path"] == "tenant/" and run.token() == token
    asked = {each.path for each in lab.front_door.exchanges if each.at >= run.started}
    assert asked <= {"tenant/auth/cloud/aws/login", "tenant/auth/token/renew-self", "tenant/auth/token/lookup-self"}
    run.stop()


@pytest.mark.parametrize(
    ("server", "login", "told"),
    [("", "tenant", "tenant"), ("tenant/team", "tenant", "tenant/team"), ("elsewhere", "tenant", "tenant")],
)
def test_readers_are_told_a_namespace_that_the_token_counts_in(lab, tmp_path, server, login, told):
    lab.bao.expect("POST", f"sys/namespaces/{login}", {})
    lab.role("app", mount=lab.front_door.mount(namespace=login), ttl="1h")
    configuration = lab.configuration(tmp_path)
    configuration["vault"]["namespace"] = server
    configuration["tokens"][0]["auth"]["namespace"] = login
    paths = {kind: tmp_path / kind for kind in ("token", "env", "json")}
    configuration["tokens"][0]["sinks"] = [
        {"type": "file", "path": str(path), "format": kind} for kind, path in paths.items()
    ]
    run = lab.agent(folder=tmp_path, configuration=configuration)
    run.may_hold(*paths.values())
    run.wait_for_token(10)
    wait_until(lambda: all(path.exists() for path in paths.values()), 10, lambda: run.log)
    assert f"VAULT_NAMESPACE={told}" in paths["env"].read_text().replace('"', "").splitlines()
    assert json.loads(paths["json"].read_text())["vault_namespace"] == told
    command = ["exec", "--config", run.configuration, "--", "printenv", "VAULT_NAMESPACE"]
    assert run_once(command, {}).output.strip() == told
    run.stop()


def test_a_wrapped_login_is_unwrapped_and_kept_fresh(lab, tmp_path):
    configuration = lab.configuration(tmp_path)
    configuration["tokens"][0]["auth"]["wrap_ttl"] = "30s"
    run = lab.agent(folder=tmp_path, configuration=configuration)
    assert lab.bao.remaining(run.wait_for_token(10)) is not None
    assert lab.front_door.count(since=run.started, path_ends="sys/wrapping/unwrap") == 1
    run.stop()


def test_a_sink_can_hold_a_wrapping_token_instead(lab, tmp_path):
    configuration = lab.configuration(tmp_path)
    configuration["tokens"][0]["sinks"][0]["wrap_ttl"] = "60s"
    run = lab.agent(folder=tmp_path, configuration=configuration)
    wrapping = run.wait_for_token(10)
    unwrapped = lab.bao.expect("POST", "sys/wrapping/unwrap", token=wrapping)
    inside = unwrapped["data"]["token"]
    lab.keep_secret(wrapping, inside)
    assert lab.bao.remaining(inside) is not None
    run.stop()


def test_the_role_may_be_left_to_vault(lab):
    run = lab.agent(role=None)
    assert lab.bao.remaining(run.wait_for_token(10)) is not None
    run.stop()


def test_vault_on_ipv6(lab):
    run = lab.agent(address=lab.front_door.listen(host="::1").url)
    assert lab.bao.remaining(run.wait_for_token(10)) is not None
    run.stop()


def test_a_name_that_leads_elsewhere_now_is_asked_there_at_once(lab, tmp_path):
    port = lab.front_door.url.rpartition(":")[2]
    hosts = tmp_path / "hosts"
    # Nobody listens at the first place, as at a server that is being replaced.
    hosts.write_text("127.0.0.2 vault.test\n")
    own_hosts = 'mount --bind "$0" /etc/hosts; exec "$@"'
    run = lab.agent(
        folder=tmp_path,
        address=f"http://vault.test:{port}",
        prefix=(*unshared("--mount"), "sh", "-ec", own_hosts, str(hosts)),
    )
    run.wait_for_log("attempts=2", 20)
    hosts.write_text("127.0.0.1 vault.test\n")
    # Pauses have grown to a few seconds by now; an address that is kept is kept for a minute.
    assert lab.bao.remaining(run.wait_for_token(15)) is not None
    run.stop()


def test_expired_credentials_are_fetched_anew_and_signed_again_once(lab):
    imds = lab.metadata()
    old = imds.credentials
    run = lab.agent(environment={"AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url})
    token = run.wait_for_token(10)
    # The agent still has these in its cache when it has to log in again.
    lab.aws.expire(old)
    imds.rotate()
    before = lab.logins()
    lab.bao.revoke(token)
    assert lab.bao.remaining(run.wait_for_token(8, other_than=token)) is not None
    assert lab.logins() == before + 2
    run.stop()


def test_rotated_credentials_cause_no_login(lab):
    imds = lab.metadata()
    run = lab.agent(environment={"AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url})
    token = run.wait_for_token(10)
    before = lab.logins()
    imds.rotate()
    time.sleep(8)
    assert run.token() == token and lab.logins() == before
    run.stop()


@pytest.mark.parametrize("answer", [sts_error(503, "ServiceUnavailable", "busy"), sts_error(400, "Throttling", "Rate")])
def test_an_sts_that_fails_for_now_is_tried_again(lab, answer):
    lab.aws.answer_sts(answer)
    run = lab.agent()
    assert lab.bao.remaining(run.wait_for_token(10)) is not None
    run.stop()


def test_a_quota_of_openbao_is_kept(lab):
    lab.bao.expect("POST", "sys/quotas/config", {"enable_rate_limit_response_headers": True})
    lab.bao.expect("POST", "sys/quotas/rate-limit/logins", {"rate": 1, "interval": "4s", "path": "auth/aws/login"})
    runs = [lab.agent() for _ in range(3)]
    for run in runs:
        assert lab.bao.remaining(run.wait_for_token(30)) is not None
    for run in runs:
        run.stop()


def test_a_crash_loop_makes_one_token(lab, tmp_path):
    lab.role("steady", ttl="10m")
    configuration = lab.configuration(tmp_path, role="steady")
    configuration["state_directory"] = str(tmp_path)
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(10)
    time.sleep(0.3)
    before = lab.logins()
    for at in range(50):
        run.kill()
        run = lab.agent(folder=tmp_path, configuration=configuration)
        time.sleep(0.01 * (at % 15))
    run.wait_for_log("Ready", 5)
    assert run.token() == token and lab.logins() == before
    run.stop()


def test_a_reload_adds_a_token_and_leaves_the_other_alone(lab, tmp_path):
    configuration = lab.configuration(tmp_path)
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(10)
    second = json.loads(json.dumps(configuration["tokens"][0]))
    second["name"] = "second"
    second["sinks"][0]["path"] = str(tmp_path / "second")
    configuration["tokens"].append(second)
    run.may_hold(tmp_path / "second")
    run.configuration.write_text(json.dumps(configuration))
    run.child.signal(signal.SIGHUP)
    wait_until((tmp_path / "second").exists, 5, lambda: run.log)
    assert run.token() == token
    run.configuration.write_text("{")
    run.child.signal(signal.SIGHUP)
    run.wait_for_log("agent.json", 5)
    assert run.child.running and run.token() == token
    run.stop()
