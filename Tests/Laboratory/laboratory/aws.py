"""AWS as the laboratory has it: moto's server with IAM authentication on, so that a wrong signature is really refused.

In front of moto stands a gate that does what moto leaves out: STS refuses signatures made at the wrong time and
credentials that have expired. Everything else it passes on untouched, the Host header included, since that is signed.
"""

import datetime
import http.client
import json
import os
import sys
import threading
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import boto3
import botocore.credentials
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from .processes import Child, LaboratoryError, free_port, wait_until
from .web import Reply, Request, WebServer

REGION = "us-east-1"
ROLE = "app"
OTHER_ROLE = "other"
CHAINED_ROLE = "chained"
USER = "deployer"
INSTANCE_PROFILE = "app-instances"
# STS's own allowance. Its message names 15 minutes all the same.
ALLOWED_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class Credentials:
    access_key: str
    secret_key: str
    session_token: str | None = None
    expiration: datetime.datetime | None = None

    @property
    def environment(self) -> dict[str, str]:
        variables = {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}
        if self.session_token:
            variables["AWS_SESSION_TOKEN"] = self.session_token
        return variables

    @property
    def secrets(self) -> list[str]:
        return [self.secret_key, *([self.session_token] if self.session_token else [])]


class AWS:
    """One account: roles, a user, an instance profile, a running instance; STS at `sts_url`."""

    def __init__(self, directory: Path):
        directory.mkdir(parents=True, exist_ok=True)
        self._port = free_port()
        self._endpoint = f"http://127.0.0.1:{self._port}"
        self._child = Child(
            [sys.executable, Path(sys.prefix) / "bin" / "moto_server", "-H", "127.0.0.1", "-p", str(self._port)],
            environment={"PATH": os.environ.get("PATH", ""), "HOME": str(directory), "PYTHONUNBUFFERED": "1"},
            output=directory / "moto.log",
            directory=directory,
        )
        self.secrets: set[str] = set()
        self._expired: set[str] = set()
        self._issued: list[str] = []
        self._sts_answers: list[Reply | None] = []
        self._lock = threading.Lock()
        self.sts_requests = 0
        wait_until(self._listens, 30, "moto listening")
        self._admin = Credentials("setup", "setup")
        self._furnish()
        self._gate = WebServer(self._pass)
        self.sts_url = self._gate.url

    def _listens(self) -> bool:
        if not self._child.running:
            raise LaboratoryError(f"moto ended at its start:\n{self._child.tail()}")
        try:
            with urllib.request.urlopen(f"{self._endpoint}/moto-api/data.json", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def client(self, service: str, credentials: Credentials | None = None):
        made = credentials or self._admin
        return boto3.client(
            service,
            endpoint_url=self._endpoint,
            region_name=REGION,
            aws_access_key_id=made.access_key,
            aws_secret_access_key=made.secret_key,
            aws_session_token=made.session_token,
        )

    def _furnish(self) -> None:
        """Everything that stands in the account; then authentication goes on."""
        iam, ec2 = self.client("iam"), self.client("ec2")
        everything = json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        )
        assuming = json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:*", "Resource": "*"}]}
        )
        anyone = json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
            }
        )
        self.role_arns: dict[str, str] = {}
        for role in (ROLE, OTHER_ROLE, CHAINED_ROLE):
            made = iam.create_role(RoleName=role, AssumeRolePolicyDocument=anyone)
            self.role_arns[role] = made["Role"]["Arn"]
            iam.put_role_policy(RoleName=role, PolicyName="sts", PolicyDocument=assuming)
        self.account = self.role_arns[ROLE].split(":")[4]
        iam.create_instance_profile(InstanceProfileName=INSTANCE_PROFILE)
        iam.add_role_to_instance_profile(InstanceProfileName=INSTANCE_PROFILE, RoleName=ROLE)
        self.user = self._make_user(iam, USER, assuming)
        self.user_keys = [self.user.access_key]
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        started = ec2.run_instances(
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            IamInstanceProfile={"Name": INSTANCE_PROFILE},
        )["Instances"][0]
        self.instance_id: str = started["InstanceId"]
        self.image_id: str = started["ImageId"]
        self.launched: datetime.datetime = started["LaunchTime"]
        self._admin = self._make_user(iam, "laboratory", everything)
        request = urllib.request.Request(
            f"{self._endpoint}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=20):
            pass

    def _make_user(self, iam, name: str, policy: str) -> Credentials:
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="policy", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return self._note(Credentials(key["AccessKeyId"], key["SecretAccessKey"]))

    def another_key(self) -> Credentials:
        """A second key of the user, as a rotation makes it."""
        key = self.client("iam", self._admin).create_access_key(UserName=USER)["AccessKey"]
        self.user_keys.append(key["AccessKeyId"])
        return self._note(Credentials(key["AccessKeyId"], key["SecretAccessKey"]))

    def keep_keys(self, kept: Sequence[str]) -> None:
        """The user's other keys are deleted."""
        for key in [each for each in self.user_keys if each not in kept]:
            self.client("iam").delete_access_key(UserName=USER, AccessKeyId=key)
            self.user_keys.remove(key)

    def _note(self, credentials: Credentials) -> Credentials:
        self.secrets.update(credentials.secrets)
        return credentials

    def assume(self, role: str = ROLE, session: str | None = None, seconds: int = 3600) -> Credentials:
        """Fresh credentials of a role, known to moto; the session is named as EC2 names it, by the instance."""
        made = self.client("sts").assume_role(
            RoleArn=self.role_arns[role], RoleSessionName=session or self.instance_id, DurationSeconds=seconds
        )["Credentials"]
        return self._note(
            Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"], made["Expiration"])
        )

    def expire(self, credentials: Credentials) -> None:
        """From now on STS takes these for expired."""
        with self._lock:
            self._expired.add(credentials.access_key)

    def expire_issued(self) -> None:
        """The same of all that STS has given to agents so far."""
        with self._lock:
            self._expired.update(self._issued)

    def has_expired(self, credentials: Credentials) -> bool:
        return credentials.access_key in self._expired

    def instance_runs(self, instance_id: str) -> bool:
        """As Vault asks it: DescribeInstances knows the instance, and it is running."""
        try:
            found = self.client("ec2").describe_instances(InstanceIds=[instance_id])["Reservations"]
        except Exception:
            return False
        return any(each["State"]["Name"] == "running" for group in found for each in group["Instances"])

    def answer_sts(self, *replies: Reply | None) -> None:
        """The next requests to STS get these answers; None: the connection ends without one."""
        with self._lock:
            self._sts_answers.extend(replies)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def waiting_answers(self) -> int:
        return len(self._sts_answers)

    def answer_itself(self) -> None:
        """No more of the replies that `answer_sts` was told."""
        with self._lock:
            self._sts_answers.clear()

    def _pass(self, request: Request) -> Reply | None:
        with self._lock:
            self.sts_requests += 1
            if self._sts_answers:
                return self._sts_answers.pop(0)
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        upstream = http.client.HTTPConnection("127.0.0.1", self._port, timeout=80)
        try:
            upstream.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            headers = dict(request.headers.items())
            if "Authorization" not in request.headers:
                headers = self._signed(request, headers)
            for name, value in headers.items():
                if name.lower() not in ("connection", "accept-encoding"):
                    upstream.putheader(name, value)
            upstream.endheaders(request.body)
            answer = upstream.getresponse()
            body = answer.read()
        finally:
            upstream.close()
        dropped = ("connection", "content-length", "transfer-encoding")
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in dropped]
        if b"<SecretAccessKey>" in body:
            self._note_issued(body)
        return Reply(answer.status, body, headers)

    def _signed(self, request: Request, headers: dict[str, str]) -> dict[str, str]:
        """AssumeRoleWithWebIdentity is not signed, which moto does not know: it gets the laboratory's own signature."""
        keys = botocore.credentials.Credentials(self._admin.access_key, self._admin.secret_key)
        kept = {name: headers[name] for name in ("Host", "Content-Type", "Content-Length") if name in headers}
        signed = AWSRequest(
            method=request.method, url=f"{self._endpoint}{request.target}", data=request.body, headers=kept
        )
        SigV4Auth(keys, "sts", REGION).add_auth(signed)
        return dict(signed.headers.items())

    def _note_issued(self, body: bytes) -> None:
        text = body.decode()
        self._issued += [part.partition("</")[0] for part in text.split("<AccessKeyId>")[1:]]
        for tag in ("SecretAccessKey", "SessionToken"):
            self.secrets.update(part.partition("</")[0] for part in text.split(f"<{tag}>")[1:])

    def _refusal(self, request: Request) -> Reply | None:
        """What AWS checks and moto does not."""
        authorization = request.headers.get("Authorization", "")
        signed_at = request.headers.get("X-Amz-Date", "")
        if not authorization:  # AssumeRoleWithWebIdentity is not signed
            return None
        if "Credential=" in authorization:
            key = authorization.partition("Credential=")[2].partition("/")[0]
            if key in self._expired:
                return sts_error(403, "ExpiredToken", "The security token included in the request is expired")
        try:
            made = datetime.datetime.strptime(signed_at, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
        except ValueError:
            return sts_error(400, "IncompleteSignature", f"Date must be in ISO-8601 'basic format'. Got '{signed_at}'.")
        now = datetime.datetime.now(datetime.UTC)
        stamp = "%Y%m%dT%H%M%SZ"
        if made < now - ALLOWED_SKEW:
            limit = now - datetime.timedelta(minutes=15)
            return sts_error(
                403,
                "SignatureDoesNotMatch",
                f"Signature expired: {made:{stamp}} is now earlier than {limit:{stamp}} ({now:{stamp}} - 15 min.)",
            )
        if made > now + ALLOWED_SKEW:
            limit = now + datetime.timedelta(minutes=15)
            return sts_error(
                403,
                "SignatureDoesNotMatch",
                f"Signature not yet current: {made:{stamp}} is still later than {limit:{stamp}} "
                f"({now:{stamp}} + 15 min.)",
            )
        return None

    def settle(self) -> None:
        """Ends every connection to STS, and returns when what came by them has had its answer."""
        self._gate.settle()

    def stop(self) -> None:
        self._gate.stop()
        self._child.stop()


def sts_error(status: int, code: str, message: str) -> Reply:
    """An error as STS writes it."""
    kind = "Sender" if status < 500 else "Receiver"
    body = (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\n'
        f"  <Error>\n    <Type>{kind}</Type>\n    <Code>{code}</Code>\n    <Message>{message}</Message>\n  </Error>\n"
        "  <RequestId>00000000-0000-0000-0000-000000000000</RequestId>\n</ErrorResponse>\n"
    )
    return Reply(status, body.encode(), [("Content-Type", "text/xml")])
