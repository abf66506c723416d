"""The instance metadata service answers as EC2's does."""

import json
import urllib.error
import urllib.request

import pytest

from laboratory.metadata import ContainerCredentials, Fault


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method, headers=named), timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def session(lab):
    status, token = ask(f"{lab.imds.url}/latest/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="60")
    assert status == 200
    return {"X_aws_ec2_metadata_token": token}


def test_version_1_is_refused(lab):
    assert ask(f"{lab.imds.url}/latest/meta-data/placement/region")[0] == 401


def test_a_session_reads_role_credentials_and_region(lab, session):
    assert ask(f"{lab.imds.url}/latest/meta-data/placement/region", **session) == (200, "us-east-1")
    path = f"{lab.imds.url}/latest/meta-data/iam/security-credentials/"
    assert ask(path, **session) == (200, "app")
    credentials = json.loads(ask(path + "app", **session)[1])
    assert credentials["Code"] == "Success" and credentials["Token"] == lab.imds.credentials.session_token


def test_the_session_lasts_at_most_six_hours(lab):
    url = f"{lab.imds.url}/latest/api/token"
    assert ask(url, "PUT")[0] == 400
    assert ask(url, "PUT", X_aws_ec2_metadata_token_ttl_seconds="21601")[0] == 400
    assert ask(url, "PUT", X_aws_ec2_metadata_token_ttl_seconds="60", X_Forwarded_For="10.0.0.1")[0] == 403


def test_rotated_credentials_are_others_and_both_are_valid(lab):
    imds = lab.metadata()
    before = imds.credentials
    after = imds.rotate()
    assert before.access_key != after.access_key
    for each in (before, after):
        assert lab.aws.client("sts", each).get_caller_identity()["Account"] == lab.aws.account


def test_faults_can_be_switched(lab, session):
    path = f"{lab.imds.url}/latest/meta-data/iam/security-credentials/app"
    lab.imds.fault = Fault.DOWN
    assert ask(path, **session)[0] == 500
    lab.imds.fault = Fault.NO_ROLE
    assert ask(path, **session)[0] == 404
    lab.imds.fault = Fault.EXPIRED
    credentials = json.loads(ask(path, **session)[1])
    assert credentials["Expiration"] < credentials["LastUpdated"]


def test_container_credentials_ask_for_the_authorization(lab):
    endpoint = ContainerCredentials(lab.aws, authorization="a-pod-identity-token")
    try:
        assert ask(endpoint.url)[0] == 403
        status, body = ask(endpoint.url, Authorization="a-pod-identity-token")
        assert status == 200 and json.loads(body)["RoleArn"].endswith(":role/app")
    finally:
        endpoint.stop()
