"""Whose identity, for whose ears: the region that is found, the identity that is expected, helpers that give keys."""

import base64
import json
import re
import signal
import time
import urllib.request
from pathlib import Path

import pytest

from laboratory.agent import agent_binary
from laboratory.aws import OTHER_ROLE, ROLE, USER, sts_error
from laboratory.aws_login import AwsRole
from laboratory.processes import wait_until

NO_IMDS = {"AWS_EC2_METADATA_DISABLED": "true"}


def with_auth(lab, folder, **auth) -> dict:
    configuration = lab.configuration(folder)
    configuration["tokens"][0]["auth"].update(auth)
    return configuration


def wrong_region(region: str):
    text = f"Credential should be scoped to a valid region, not '{region}'. "
    return sts_error(403, "SignatureDoesNotMatch", text)


# The region


def test_a_region_that_is_refused_is_followed_by_the_machines_and_that_is_remembered(lab, tmp_path):
    configuration = with_auth(lab, tmp_path, region="auto")
    configuration["state_directory"] = str(tmp_path / "state")
    (tmp_path / "state").mkdir()
    environment = {"AWS_REGION": "eu-west-1"}
    lab.aws.answer_sts(wrong_region("us-east-1"))
    first = lab.agent(folder=tmp_path, configuration=configuration, environment=environment, command=("login",))
    ended = first.finish(30)
    assert ended.status == 0, ended.log
    assert "Signing the login for another region" in ended.log
    assert "region=eu-west-1" in ended.log
    (remembered,) = (tmp_path / "state").glob("region-*")
    assert remembered.read_text() == "eu-west-1\n"
    assert remembered.stat().st_mode & 0o777 == 0o600

    # The next start needs one signature, and it is for that region.
    (tmp_path / "token").unlink()
    for record in (tmp_path / "state").glob("takeover-*"):
        record.unlink()
    lab.aws.answer_sts(wrong_region("eu-west-1"))
    second = lab.agent(folder=tmp_path, configuration=configuration, environment=environment, command=("login",))
    ended = second.finish(30)
    assert ended.status == 0, ended.log
    assert "not 'eu-west-1'" in ended.log
    assert remembered.read_text() == "aws-global\n"


def test_a_region_that_is_named_is_never_overridden_and_the_refusal_says_what_would_work(lab, tmp_path):
    lab.aws.answer_sts(wrong_region("eu-west-3"))
    run = lab.agent(
        folder=tmp_path,
        configuration=with_auth(lab, tmp_path, region="eu-west-3"),
        environment={"AWS_REGION": "us-east-1"},
        command=("login", "--timeout", "5s"),
    )
    ended = run.finish(30)
    assert ended.status == 78
    assert "The login is signed for eu-west-3, as auth.region says" in ended.log
    assert 'or to "auto"' in ended.log
    assert lab.logins(since=run.started) == 1


def test_FIPS_without_a_region_is_refused_by_config_check(lab, tmp_path):
    environment = {"AWS_USE_FIPS_ENDPOINT": "true", "HOME": str(tmp_path), **NO_IMDS}
    silent = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ENDPOINT_URL_STS")
    run = lab.agent(
        folder=tmp_path, environment={**environment, **dict.fromkeys(silent, "")}, command=("config", "check")
    )
    ended = run.finish(30)
    assert ended.status == 78
    assert "nothing can name a region" in ended.output + ended.log


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        (
            {"region": "eu-west-1", "sts_endpoint": "https://sts.eu-central-1.amazonaws.com"},
            "sts_endpoint is of the region eu-central-1, and region is eu-west-1",
        ),
        ({"expect": "role/app"}, "is neither an account nor the ARN of a user or role"),
    ],
)
def test_contradictions_are_refused_by_config_check(lab, tmp_path, auth, words):
    run = lab.agent(folder=tmp_path, configuration=with_auth(lab, tmp_path, **auth), command=("config", "check"))
    ended = run.finish(30)
    assert ended.status == 78
    assert words in ended.output + ended.log


# The identity


def test_an_identity_that_is_not_expected_is_refused_before_the_login(lab, tmp_path):
    auth = {"expect": ["arn:aws:iam::*:role/somebody-else", "999999999999"]}
    run = lab.agent(
        folder=tmp_path, configuration=with_auth(lab, tmp_path, **auth), command=("login", "--timeout", "5s")
    )
    ended = run.finish(30)
    assert ended.status == 77
    assert "aws_identity_unexpected" in ended.log
    assert f"role {ROLE}" in ended.log
    assert "arn:aws:iam::*:role/somebody-else or 999999999999" in ended.log
    assert lab.logins(since=run.started) == 0


def test_an_identity_that_is_expected_logs_in(lab, tmp_path):
    auth = {"expect": lab.aws.role_arns[ROLE]}
    run = lab.agent(folder=tmp_path, configuration=with_auth(lab, tmp_path, **auth), command=("login",))
    assert run.finish(30).status == 0


@pytest.fixture
def bound(lab, tmp_path):
    """Starts the agent, always in the same folder, with the keys given; its role takes the user and two roles."""
    user = f"arn:aws:iam::{lab.aws.account}:user/{USER}"
    roles = [lab.aws.role_arns[ROLE], lab.aws.role_arns[OTHER_ROLE]]
    lab.role("bound", AwsRole(bound_principals=[user, *roles]), ttl="10m")
    (tmp_path / "state").mkdir()

    def start(credentials, **auth):
        configuration = with_auth(lab, tmp_path, role="bound", **auth)
        configuration["state_directory"] = str(tmp_path / "state")
        return lab.agent(
            folder=tmp_path, configuration=configuration, environment={**credentials.environment, **NO_IMDS}
        )

    return start


def put_credentials(folder: Path, credentials) -> None:
    """Into a shared credentials file, all at once."""
    new = folder / "credentials.new"
    new.write_text(
        f"[default]\naws_access_key_id = {credentials.access_key}\n"
        f"aws_secret_access_key = {credentials.secret_key}\naws_session_token = {credentials.session_token}\n"
    )
    new.rename(folder / "credentials")


def shared_file(folder: Path) -> dict[str, str]:
    return {"AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"), "HOME": str(folder), **NO_IMDS}


def settled(run) -> str:
    """The token once the first look at the identity, 5 s after the start, is over."""
    time.sleep(8)
    assert run.child.running, run.log
    return run.token()


def test_a_restart_under_another_identity_logs_in_anew(lab, bound):
    first = bound(lab.aws.user)
    token = first.wait_for_token(10)
    first.stop()
    second = bound(lab.aws.assume(OTHER_ROLE))
    changed = second.wait_for_token(20, other_than=token)
    assert "AWS credentials are another identity's than the token's; logging in anew" in second.log
    assert f"role {OTHER_ROLE}" in second.log
    assert settled(second) == changed
    second.stop()
    # The same role with other keys is the same identity.
    third = bound(lab.aws.assume(OTHER_ROLE))
    assert settled(third) == changed
    third.stop()


def test_keys_that_were_merely_rotated_keep_the_token(lab, bound):
    first = bound(lab.aws.user)
    token = first.wait_for_token(10)
    first.stop()
    # Vault told the user's name, and STS tells it of the new key.
    second = bound(lab.aws.another_key())
    assert settled(second) == token
    assert "logging in anew" not in second.log
    second.stop()


def test_a_token_of_another_identity_is_kept_where_the_configuration_says_so(lab, bound):
    first = bound(lab.aws.user)
    token = first.wait_for_token(10)
    first.stop()
    second = bound(lab.aws.assume(OTHER_ROLE), on_identity_change="keep")
    assert settled(second) == token
    second.stop()


def test_credentials_that_become_another_roles_under_a_running_agent_lead_to_a_login(lab, tmp_path):
    roles = [lab.aws.role_arns[ROLE], lab.aws.role_arns[OTHER_ROLE]]
    lab.role("bound", AwsRole(bound_principals=roles), ttl="10m")
    put_credentials(tmp_path, lab.aws.assume(ROLE))
    run = lab.agent(
        folder=tmp_path, configuration=with_auth(lab, tmp_path, role="bound"), environment=shared_file(tmp_path)
    )
    token = run.wait_for_token(10)
    put_credentials(tmp_path, lab.aws.assume(OTHER_ROLE))
    changed = run.wait_for_token(20, other_than=token)
    assert "AWS credentials are another identity's than the token's; logging in anew" in run.log
    assert lab.bao.remaining(changed) is not None
    run.stop()


@pytest.mark.parametrize("wanted", [False, True])
def test_new_credentials_of_the_same_role_lead_to_a_login_only_where_that_is_asked_for(lab, tmp_path, wanted):
    """Vault Agent's enable_reauth_on_new_credentials."""
    lab.role("bound", AwsRole(bound_principals=[lab.aws.role_arns[ROLE]]), ttl="10m")
    put_credentials(tmp_path, lab.aws.assume(ROLE))
    auth = {"enable_reauth_on_new_credentials": True} if wanted else {}
    run = lab.agent(
        folder=tmp_path,
        configuration=with_auth(lab, tmp_path, role="bound", **auth),
        environment=shared_file(tmp_path),
    )
    token = run.wait_for_token(10)
    put_credentials(tmp_path, lab.aws.assume(ROLE))
    if wanted:
        # Looked at 5 s after the start, and each minute after that.
        assert run.wait_for_token(90, other_than=token) != token
        assert "AWS credentials are new; logging in anew" in run.log
    else:
        assert settled(run) == token
        assert "logging in anew" not in run.log
    run.stop()


# The request by hand


def test_the_printed_request_logs_in_by_hand(lab, tmp_path):
    run = lab.agent(folder=tmp_path, command=("login", "--print-request"), prints_token=True)
    ended = run.finish(30)
    assert ended.status == 0, ended.log
    assert "secret" in ended.log
    parameters = dict(line.split("=", 1) for line in ended.output.splitlines())
    assert set(parameters) == {
        "role",
        "iam_http_request_method",
        "iam_request_url",
        "iam_request_body",
        "iam_request_headers",
    }
    assert b"GetCallerIdentity" in base64.b64decode(parameters["iam_request_body"])
    assert lab.logins(since=run.started) == 0
    request = urllib.request.Request(
        f"{lab.front_door.url}/v1/auth/aws/login", json.dumps(parameters).encode(), method="POST"
    )
    token = json.load(urllib.request.urlopen(request))["auth"]["client_token"]
    lab.keep_secret(token)
    assert lab.bao.remaining(token) is not None


# The helper


def profile(folder: Path, line: str) -> dict[str, str]:
    (folder / "config").write_text(f"[default]\ncredential_process = {line}\n")
    return {"AWS_CONFIG_FILE": str(folder / "config"), "HOME": str(folder), **NO_IMDS}


def test_a_helper_that_is_the_agent_itself_ends_in_one_clear_line(lab, tmp_path):
    environment = profile(tmp_path, f"{agent_binary()} credentials --format process")
    started = time.monotonic()
    ended = lab.agent(folder=tmp_path, environment=environment, command=("credentials", "--format", "json")).finish(30)
    assert time.monotonic() - started < 20
    (failure,) = [source["failure"] for source in json.loads(ended.output)["sources"] if "failure" in source]
    assert "this is itself the credential_process of profile default" in failure["observed"]


def test_a_helper_dies_with_the_agent(lab, tmp_path):
    pid_file = tmp_path / "pid"
    helper = tmp_path / "helper"
    helper.write_text(f"#!/bin/sh\necho $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 50\n")
    helper.chmod(0o755)
    run = lab.agent(folder=tmp_path, environment=profile(tmp_path, str(helper)))
    wait_until(pid_file.exists, 20, lambda: run.log)
    pid = int(pid_file.read_text())
    # Longer than an idle thread of Dispatch's lives: the kernel goes by the thread that started the child.
    time.sleep(6)
    assert alive(pid)
    run.child.signal(signal.SIGKILL)
    wait_until(lambda: not alive(pid), 10, "the helper ends with the agent")


def test_what_a_helpers_shell_has_started_ends_with_the_agents_stop(lab, tmp_path):
    """The kernel kills the shell alone where the agent is killed; a stop reaches its whole process group."""
    pids = tmp_path / "pids"
    line = f"sh -c 'echo $$ >> {pids}; exec sleep 400' | sh -c 'echo $$ >> {pids}; exec cat'"
    run = lab.agent(folder=tmp_path, environment=profile(tmp_path, line))
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2, 20, lambda: run.log)
    started = [int(pid) for pid in pids.read_text().split()]
    assert all(alive(pid) for pid in started)
    run.stop()
    wait_until(lambda: not any(alive(pid) for pid in started), 10, "what the helper started ends with the agent")


def alive(pid: int) -> bool:
    try:
        return re.search(r"\) [ZX]", Path(f"/proc/{pid}/stat").read_text()) is None
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_helper_with_a_pipe_is_run_by_a_shell_and_the_report_says_so(lab, tmp_path):
    user = lab.aws.user
    document = {"Version": 1, "AccessKeyId": user.access_key, "SecretAccessKey": user.secret_key}
    lab.may_hold.add(tmp_path / "answer")
    (tmp_path / "answer").write_text(json.dumps(document).replace("Version", "xVersion"))
    environment = profile(tmp_path, 'cat "$HOME/answer" | sed s/xVersion/Version/')
    ended = lab.agent(folder=tmp_path, environment=environment, command=("credentials", "--format", "json")).finish(30)
    (source,) = [source for source in json.loads(ended.output)["sources"] if source["finding"] == "found"]
    assert source["origin"] == "the credential_process of profile default, by /bin/sh"
    assert ended.status == 0, ended.log
