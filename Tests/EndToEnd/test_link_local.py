"""The agent as it is, at AWS's true link-local addresses: in a network namespace whose loopback device has them.

Outside the namespace there is one test, which makes the namespace and runs the rest of this file inside.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from laboratory.laboratory import Laboratory
from laboratory.metadata import ContainerCredentials, InstanceMetadata
from laboratory.processes import unshared
from laboratory.web import Reply, WebServer

IMDS, IMDS_6 = "169.254.169.254", "fd00:ec2::254"
ECS, EKS, EKS_6 = "169.254.170.2", "169.254.170.23", "fd00:ec2::23"
INSIDE = "LABORATORY_NAMESPACE"

if INSIDE not in os.environ:

    def test_at_the_true_addresses():
        addresses = "; ".join(
            f"ip address add {address}/{128 if ':' in address else 32} dev lo{' nodad' if ':' in address else ''}"
            for address in (IMDS, IMDS_6, ECS, EKS, EKS_6)
        )
        make = f'ip link set lo up; {addresses}; exec "$@"'
        own = ["-c", str(Path(__file__).parents[1] / "pytest.ini"), "-p", "no:cacheprovider", __file__]
        done = subprocess.run(
            [*unshared("--net"), "sh", "-ec", make, "sh", sys.executable, "-m", "pytest", *own],
            env={**os.environ, INSIDE: "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=480,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert " passed" in done.stdout

else:

    @pytest.fixture(scope="module")
    def here():
        with Laboratory() as laboratory:
            yield laboratory

    @pytest.fixture
    def identity(here, tmp_path):
        """The ARN that the agent finds, with nothing in its environment but what `environment` says, and STS's URL."""

        def ask(environment: dict[str, str]) -> tuple[str, dict]:
            configuration = here.configuration(tmp_path)
            del configuration["tokens"][0]["auth"]["region"]
            run = here.agent(
                configuration=configuration,
                environment={"AWS_EC2_METADATA_SERVICE_ENDPOINT": "", **environment},
                command=("credentials", "--format", "json"),
            )
            finished = run.finish(30)
            assert finished.status == 0, finished
            report = json.loads(finished.output)
            return report["identity"]["arn"], report

        return ask

    @pytest.mark.parametrize("host", [IMDS, IMDS_6])
    def test_an_instance(here, identity, host):
        imds = InstanceMetadata(here.aws, here.identity, host=host, port=80)
        try:
            mode = {"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6"} if ":" in host else {}
            arn, report = identity(mode)
            assert arn.endswith(here.aws.instance_id)
            assert report["region"]["origin"] == "IMDS"
        finally:
            imds.stop()

    def test_the_link_local_services_are_never_asked_by_a_proxy(here, identity):
        asked = WebServer(lambda request: Reply(502))
        proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"), asked.url)
        imds = InstanceMetadata(here.aws, here.identity, host=IMDS, port=80)
        task = ContainerCredentials(here.aws, host=ECS, port=80)
        try:
            of_task = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": task.path, "AWS_REGION": "us-east-1"}
            for environment in ({}, of_task):
                arn, _ = identity(proxies | environment)
                assert arn.endswith(here.aws.instance_id)
        finally:
            task.stop()
            imds.stop()
            asked.stop()

    def test_an_instance_logs_in(here):
        imds = InstanceMetadata(here.aws, here.identity, host=IMDS, port=80)
        try:
            run = here.agent(environment={"AWS_EC2_METADATA_SERVICE_ENDPOINT": ""})
            assert here.bao.remaining(run.wait_for_token(10)) is not None
            run.stop()
        finally:
            imds.stop()

    def test_a_task_of_ecs(here, identity):
        service = ContainerCredentials(here.aws, host=ECS, port=80)
        try:
            arn, report = identity({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": service.path, "AWS_REGION": "us-east-1"})
            assert arn.endswith(here.aws.instance_id)
            assert [row["title"] for row in report["sources"] if row["finding"] == "found"] == ["container"]
        finally:
            service.stop()

    @pytest.mark.parametrize("host", [EKS, EKS_6])
    def test_a_pod_of_eks(here, identity, tmp_path, host):
        service = ContainerCredentials(here.aws, authorization="pod-identity-token", host=host, port=80)
        url = f"http://{f'[{host}]' if ':' in host else host}{service.path}"
        here.keep_secret("pod-identity-token")
        (tmp_path / "authorization").write_text("pod-identity-token")
        try:
            arn, _ = identity(
                {
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI": url,
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "authorization"),
                    "AWS_REGION": "us-east-1",
                }
            )
            assert arn.endswith(here.aws.instance_id)
        finally:
            service.stop()

    def test_where_nothing_answers_the_machine_is_not_ec2(here):
        run = here.agent(
            environment={"AWS_EC2_METADATA_SERVICE_ENDPOINT": ""}, command=("credentials", "--format", "json")
        )
        finished = run.finish(30)
        assert finished.status == 77, finished
        assert "no instance metadata service at 169.254.169.254" in finished.output
