"""Where AWS credentials come from, with real ones: moto's STS checks every signature that the agent makes.

Which source is asked when, and every failure, is shown by the cases of AWSIdentityTests; here each way to an identity
is gone once, from the source to STS.
"""

import base64
import json
import signal

import boto3
import pytest

from laboratory.agent import agent_binary
from laboratory.aws import CHAINED_ROLE, REGION, ROLE
from laboratory.aws_login import AwsRole
from laboratory.metadata import ContainerCredentials, Fault
from laboratory.processes import wait_until

NO_IMDS = {"AWS_EC2_METADATA_DISABLED": "true"}


def shared_files(folder, config: str, credentials: str = "") -> dict[str, str]:
    """The two files, and the variables that point to them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config").write_text(config)
    (folder / "credentials").write_text(credentials)
    (folder / "credentials").chmod(0o600)
    return {
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "HOME": str(folder),
    }


def static_profile(name: str, credentials) -> str:
    return f"[{name}]\naws_access_key_id = {credentials.access_key}\naws_secret_access_key = {credentials.secret_key}\n"


@pytest.fixture
def whoami(lab, tmp_path):
    """What `credentials --format json` says, and its exit status."""

    def ask(environment: dict[str, str], configuration: dict | None = None) -> tuple[dict, int]:
        finished = lab.agent(
            configuration=configuration or lab.configuration(tmp_path),
            environment=environment,
            command=("credentials", "--format", "json"),
        ).finish(30)
        return json.loads(finished.output), finished.status

    return ask


def found(report: dict) -> str:
    (source,) = [source for source in report["sources"] if source["finding"] == "found"]
    return source["title"]


def chain_of_roles(lab, folder) -> dict[str, str]:
    config = (
        f"[profile target]\nrole_arn = {lab.aws.role_arns[CHAINED_ROLE]}\nsource_profile = middle\n"
        f"[profile middle]\nrole_arn = {lab.aws.role_arns[ROLE]}\nsource_profile = base\nrole_session_name = middle\n"
    )
    return {**shared_files(folder, config, static_profile("base", lab.aws.user)), "AWS_PROFILE": "target", **NO_IMDS}


def test_a_chain_of_roles_is_assumed(lab, tmp_path, whoami):
    report, status = whoami(chain_of_roles(lab, tmp_path / "aws"))
    assert status == 0
    assert found(report) == "role of a profile"
    assert report["identity"]["arn"].endswith(f"assumed-role/{CHAINED_ROLE}/vault-token-agent")


def test_a_chain_of_roles_logs_in(lab, tmp_path):
    arn = lab.aws.role_arns[CHAINED_ROLE]
    lab.role("chained", AwsRole(bound_principals=[arn]), ttl="20s")
    run = lab.agent(role="chained", environment=chain_of_roles(lab, tmp_path / "aws"))
    assert lab.bao.remaining(run.wait_for_token(10)) is not None
    run.stop()


def web_identity_token(lab, number: int = 1) -> str:
    """As Kubernetes signs them for a service account; moto does not look at the signature."""

    def part(content: dict) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    account = {"sub": "system:serviceaccount:app:app", "jti": str(number)}
    token = ".".join([part({"alg": "RS256"}), part(account), "c2lnbmF0dXJl"])
    lab.keep_secret(token)
    return token


def test_a_web_identity_is_exchanged(lab, tmp_path, whoami):
    (tmp_path / "jwt").write_text(web_identity_token(lab))
    report, status = whoami(
        {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "jwt"),
            "AWS_ROLE_ARN": lab.aws.role_arns[ROLE],
            "AWS_ROLE_SESSION_NAME": "pod-1",
            **NO_IMDS,
        }
    )
    assert status == 0, report
    assert found(report) == "web identity"
    assert report["identity"]["arn"].endswith(f"assumed-role/{ROLE}/pod-1")


def test_a_web_identity_token_is_read_by_the_link_that_the_kubelet_swaps(lab, tmp_path, tmp_path_factory):
    # Beside what the agent leaves, which is searched for secrets.
    volume = tmp_path_factory.mktemp("volume")

    def project(number: int, content: str) -> None:
        """Brings new content as the kubelet does: a folder of its own, and one link that is replaced."""
        (volume / f"..{number}").mkdir()
        (volume / f"..{number}" / "token").write_text(content)
        (volume / "..data_tmp").symlink_to(f"..{number}")
        (volume / "..data_tmp").rename(volume / "..data")

    def told_to_log_in(words: str) -> None:
        told = run.log.count(words)
        run.child.signal(signal.SIGUSR1)
        wait_until(lambda: run.log.count(words) > told, 30, words)

    project(1, web_identity_token(lab))
    (volume / "token").symlink_to("..data/token")
    lab.role("pod", AwsRole(bound_principals=[lab.aws.role_arns[ROLE]]), ttl="10m")
    environment = {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(volume / "token"),
        "AWS_ROLE_ARN": lab.aws.role_arns[ROLE],
        **NO_IMDS,
    }
    run = lab.agent(folder=tmp_path, role="pod", environment=environment)
    token = run.wait_for_token(20)
    # What the first was exchanged for is over, so that the next login needs the file.
    lab.aws.expire_issued()
    project(2, "")
    told_to_log_in("Could not log in anew, as told")
    assert f"the web identity token file {volume}/token cannot be used: it is empty" in run.log
    assert run.sink.read_text() == token
    project(3, web_identity_token(lab, 2) + "\n")
    told_to_log_in("Logged in anew, as told")
    assert lab.bao.remaining(run.wait_for_token(20, other_than=token)) is not None
    assert run.stop().status == 0


def test_the_container_endpoint_is_asked_with_its_token(lab, tmp_path, whoami):
    service = ContainerCredentials(lab.aws, authorization="pod-identity-token")
    lab.keep_secret("pod-identity-token")
    (tmp_path / "authorization").write_text("pod-identity-token")
    try:
        report, status = whoami(
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": service.url,
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "authorization"),
                "HTTP_PROXY": "http://127.0.0.1:1",
                "http_proxy": "http://127.0.0.1:1",
                "NO_PROXY": "",
                "AWS_ENDPOINT_URL_STS": lab.aws.sts_url.replace("127.0.0.1", "localhost"),
                **NO_IMDS,
            }
        )
        assert status == 0, report
        assert found(report) == "container"
        assert f"assumed-role/{ROLE}/" in report["identity"]["arn"]
        refused, status = whoami({"AWS_CONTAINER_CREDENTIALS_FULL_URI": service.url, **NO_IMDS})
        assert status != 0
        assert "invalid authorization token" in json.dumps(refused)
    finally:
        service.stop()


def test_credentials_and_region_come_from_the_instance(lab, tmp_path, whoami):
    configuration = lab.configuration(tmp_path)
    del configuration["tokens"][0]["auth"]["region"]
    report, status = whoami({}, configuration)
    assert status == 0, report
    assert found(report) == "instance metadata"
    assert report["region"] == {"name": REGION, "origin": "IMDS"}
    assert report["identity"]["arn"].endswith(f"assumed-role/{ROLE}/{lab.aws.instance_id}")


def test_a_hop_limit_of_one_is_explained(lab, whoami):
    imds = lab.metadata()
    imds.fault = Fault.PUT_HANGS
    report, status = whoami({"AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url})
    assert status == 69
    assert "hop limit" in json.dumps(report)


def test_a_wrong_secret_is_told_from_a_missing_one(lab, whoami):
    report, status = whoami({**lab.aws.user.environment, "AWS_SECRET_ACCESS_KEY": "x" * 40, **NO_IMDS})
    assert status == 77
    assert [error["code"] for error in report["errors"]] == ["aws_credentials_refused"]
    report, status = whoami({"AWS_ACCESS_KEY_ID": lab.aws.user.access_key, **NO_IMDS})
    assert status == 77
    assert {error["code"] for error in report["errors"]} == {"aws_credentials_broken"}


def test_the_agent_serves_other_tools_as_credential_process(lab, tmp_path, monkeypatch):
    """boto3 runs the agent, which asks IMDS; the agent runs the agent as well."""
    for name, value in {**lab.environment(), **NO_IMDS, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    command = (
        f"env -u AWS_EC2_METADATA_DISABLED -u AWS_PROFILE AWS_CONFIG_FILE=/nonexistent"
        f" {agent_binary()} credentials --format process"
    )
    files = shared_files(tmp_path / "aws", f"[profile agent]\nregion = {REGION}\ncredential_process = {command}\n")
    for name, value in files.items():
        monkeypatch.setenv(name, value)
    session = boto3.Session(profile_name="agent")
    identity = session.client("sts", endpoint_url=lab.aws.sts_url).get_caller_identity()
    assert identity["Arn"].endswith(f"assumed-role/{ROLE}/{lab.aws.instance_id}")

    finished = lab.agent(
        folder=tmp_path / "run",
        environment={**files, **NO_IMDS, "AWS_PROFILE": "agent"},
        command=("credentials", "--format", "json"),
    ).finish(30)
    report = json.loads(finished.output)
    assert found(report) == "credential process"
    assert report["identity"]["arn"] == identity["Arn"]
