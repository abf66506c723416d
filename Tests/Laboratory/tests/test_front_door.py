"""The front door lets in whom Vault would let in, refuses in Vault's words, and leaves everything else to OpenBao."""

import base64
import dataclasses
import datetime
import json
import time
import urllib.request

import botocore.auth
import pytest
from signing import call, log_in, signed_login

from laboratory.aws import OTHER_ROLE, REGION, sts_error
from laboratory.aws_login import AwsRole
from laboratory.processes import wait_until
from laboratory.web import Reply


def test_a_login_gives_a_token_with_the_roles_terms(lab):
    status, reply = log_in(lab, signed_login(lab.imds.credentials))
    assert status == 200
    auth = reply["auth"]
    assert auth["lease_duration"] == 20 and auth["renewable"] is True and auth["token_type"] == "service"
    assert auth["metadata"]["canonical_arn"] == f"arn:aws:iam::{lab.aws.account}:role/app"
    assert auth["client_token"] in lab.secrets()
    held = lab.bao.expect("POST", "auth/token/lookup", {"token": auth["client_token"]})["data"]
    assert held["creation_ttl"] == 20 and held["path"] == "auth/aws/login" and held["orphan"] is True


def test_the_role_defaults_to_the_principals_name(lab):
    status, reply = log_in(lab, signed_login(lab.imds.credentials, role=None))
    assert status == 200 and reply["auth"]["metadata"]["role_name"] == "app"


@pytest.mark.parametrize(
    "encode",
    [
        lambda headers: headers,
        lambda headers: json.dumps(headers),
        lambda headers: {name: [value] for name, value in headers.items()},
    ],
    ids=["an object", "JSON in a string", "lists of strings"],
)
def test_signed_headers_may_come_in_each_form(lab, encode):
    fields = signed_login(lab.imds.credentials)
    fields["iam_request_headers"] = encode(json.loads(base64.b64decode(fields["iam_request_headers"])))
    assert log_in(lab, fields)[0] == 200


def _changed(fields: dict, **changes: object) -> dict:
    return {**fields, **changes}


def _forged(lab) -> dict:
    return signed_login(dataclasses.replace(lab.imds.credentials, secret_key="x" * 40))


def _unsigned_server_id(lab) -> dict:
    fields = signed_login(lab.imds.credentials, server_id=None)
    headers = json.loads(base64.b64decode(fields["iam_request_headers"]))
    return _changed(fields, iam_request_headers={**headers, "X-Vault-AWS-IAM-Server-ID": "vault.example.com"})


REFUSALS = {
    "a wrong signature": (_forged, "received error code 403 from STS"),
    "an unknown access key": (
        lambda lab: signed_login(dataclasses.replace(lab.imds.credentials, access_key="ASIAUNKNOWN")),
        "InvalidClientTokenId",
    ),
    "an unknown role": (
        lambda lab: signed_login(lab.imds.credentials, role="nobody"),
        "entry for role nobody not found",
    ),
    "a principal of another role": (
        lambda lab: signed_login(lab.aws.assume(OTHER_ROLE)),
        'does not belong to the role "app"',
    ),
    "a wrong server ID": (
        lambda lab: signed_login(lab.imds.credentials, server_id="elsewhere.example.com"),
        'expected "vault.example.com" but got "elsewhere.example.com"',
    ),
    "no server ID": (
        lambda lab: signed_login(lab.imds.credentials, server_id=None),
        "error validating X-Vault-AWS-IAM-Server-ID header: missing header",
    ),
    "a server ID that is not signed": (_unsigned_server_id, "vault header wasn't signed"),
    "an AMZ header not on the list": (
        lambda lab: signed_login(lab.imds.credentials, extra={"X-Amz-Target": "x"}),
        "invalid request header: X-Amz-Target",
    ),
    "another action": (
        lambda lab: signed_login(lab.imds.credentials, body=b"Action=GetSessionToken&Version=2011-06-15"),
        "iam request body is invalid",
    ),
    "more than the action": (
        lambda lab: signed_login(lab.imds.credentials, body=b"Action=GetCallerIdentity&Version=2011-06-15&X=1"),
        "iam request body is invalid",
    ),
    "a URL with a query": (
        lambda lab: signed_login(lab.imds.credentials, url=f"https://sts.{REGION}.amazonaws.com/?a=b"),
        "must not have a query string",
    ),
    "GET": (
        lambda lab: _changed(signed_login(lab.imds.credentials), iam_http_request_method="GET"),
        "currently only 'POST' is supported",
    ),
    "a URL not in base64": (
        lambda lab: _changed(signed_login(lab.imds.credentials), iam_request_url="https://sts.amazonaws.com"),
        "failed to base64 decode iam_request_url",
    ),
    "three of the four fields": (
        lambda lab: {key: value for key, value in signed_login(lab.imds.credentials).items() if "body" not in key},
        "supplied some of the auth values for the iam auth type but not all",
    ),
    "both methods at once": (
        lambda lab: _changed(signed_login(lab.imds.credentials), pkcs7="x"),
        "supplied auth values for both ec2 and iam auth types",
    ),
    "nothing": (lambda lab: {"role": "app"}, "didn't supply required authentication values"),
}


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.replace(" ", "-"))
def test_refused(lab, case):
    fields, words = REFUSALS[case]
    before = len(lab.front_door.tokens)
    status, reply = log_in(lab, fields(lab))
    assert status == 400
    assert words in reply["errors"][0]
    assert len(lab.front_door.tokens) == before


def test_expired_credentials_are_refused_as_sts_does(lab):
    credentials = lab.aws.assume()
    lab.aws.expire(credentials)
    status, reply = log_in(lab, signed_login(credentials))
    assert status == 400 and "<Code>ExpiredToken</Code>" in reply["errors"][0]


@pytest.mark.parametrize(("hours", "words"), [(-1, "Signature expired"), (1, "Signature not yet current")])
def test_a_wrong_clock_is_refused_as_sts_does(lab, monkeypatch, hours, words):
    real = botocore.auth.get_current_datetime
    monkeypatch.setattr(
        botocore.auth, "get_current_datetime", lambda *a, **k: real(*a, **k) + datetime.timedelta(hours=hours)
    )
    status, reply = log_in(lab, signed_login(lab.imds.credentials))
    assert status == 400 and words in reply["errors"][0]


def test_an_sts_out_of_order_is_a_400(lab):
    lab.aws.answer_sts(sts_error(503, "ServiceUnavailable", "Service is unable to handle request"))
    status, reply = log_in(lab, signed_login(lab.imds.credentials))
    assert status == 400 and "received error code 503 from STS" in reply["errors"][0]
    lab.mount.logins.sts_reachable = False
    status, reply = log_in(lab, signed_login(lab.imds.credentials))
    assert status == 400 and reply["errors"][0].startswith("error making upstream request: error making request: ")


def test_the_maximum_shortens_renewals(lab):
    lab.role("brief", ttl="600s", max_ttl="601s")
    _, reply = log_in(lab, signed_login(lab.imds.credentials, role="brief"))
    token = {"X-Vault-Token": reply["auth"]["client_token"]}
    time.sleep(2.1)
    status, renewed, _ = call(lab.front_door.url, "POST", "auth/token/renew-self", {}, token)
    assert status == 200 and renewed["auth"]["lease_duration"] < 600
    assert "exceeded the effective max_ttl" in renewed["warnings"][0]


def test_the_maximum_ends_renewals(lab):
    lab.role("brief", ttl="3s", max_ttl="3s")
    _, reply = log_in(lab, signed_login(lab.imds.credentials, role="brief"))
    token = {"X-Vault-Token": reply["auth"]["client_token"]}
    wait_until(lambda: call(lab.front_door.url, "POST", "auth/token/renew-self", {}, token)[0] == 403, 6, "403", 0.5)


def test_a_deleted_role_ends_renewals_with_500(lab):
    lab.role("doomed", ttl="10m")
    _, reply = log_in(lab, signed_login(lab.imds.credentials, role="doomed"))
    lab.mount.delete_role("doomed")
    token = {"X-Vault-Token": reply["auth"]["client_token"]}
    status, answer, _ = call(lab.front_door.url, "POST", "auth/token/renew-self", {}, token)
    assert status == 500 and "failed to renew entry" in answer["errors"][0]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"ttl": "10s", "period": "10s"}, {"lease_duration": 10, "renewable": True}),
        ({"ttl": "10s", "type": "batch"}, {"lease_duration": 10, "renewable": False, "token_type": "batch"}),
        ({"ttl": "10s", "num_uses": 5}, {"num_uses": 5}),
        ({"ttl": "10s", "policies": ["reader"]}, {"token_policies": ["default", "reader"]}),
        ({"ttl": "10s", "no_default_policy": True, "policies": ["reader"]}, {"token_policies": ["reader"]}),
    ],
    ids=["periodic", "batch", "limited uses", "policies", "no default policy"],
)
def test_every_kind_of_token_is_openbaos_own(lab, settings, expected):
    lab.role("kinds", **settings)
    status, reply = log_in(lab, signed_login(lab.imds.credentials, role="kinds"))
    assert status == 200
    assert {key: reply["auth"][key] for key in expected} == expected
    lab.mount.delete_role("kinds")


def test_a_login_can_be_wrapped(lab):
    status, reply = log_in(lab, signed_login(lab.imds.credentials), {"X-Vault-Wrap-TTL": "30s"})
    assert status == 200 and reply["auth"] is None and reply["wrap_info"]["ttl"] == 30
    wrapping = {"X-Vault-Token": reply["wrap_info"]["token"]}
    status, unwrapped, _ = call(lab.front_door.url, "POST", "sys/wrapping/unwrap", None, wrapping)
    assert status == 200 and unwrapped["auth"]["lease_duration"] == 20


def test_a_mount_in_a_namespace_is_found_by_header_and_by_path(lab):
    lab.bao.expect("POST", "sys/namespaces/team", {})
    mount = lab.front_door.mount("auth/cloud", namespace="team")
    lab.role("app", mount=mount, ttl="20s")
    fields = signed_login(lab.imds.credentials, server_id=None)
    url = lab.front_door.url
    status, reply, _ = call(url, "POST", "auth/cloud/login", fields, {"X-Vault-Namespace": "team"})
    assert status == 200
    token = {"X-Vault-Token": reply["auth"]["client_token"]}
    status, found, _ = call(url, "GET", "auth/token/lookup-self", None, {**token, "X-Vault-Namespace": "team"})
    assert status == 200 and found["data"]["namespace_path"] == "team/"
    assert call(url, "POST", "team/auth/cloud/login", fields)[0] == 200


def test_everything_else_passes_through_untouched(lab):
    url = lab.front_door.url
    status, reply, headers = call(url, "GET", "sys/health?standbyok=true")
    assert status == 200 and reply["sealed"] is False and headers["Cache-Control"] == "no-store"
    assert call(url, "GET", "auth/token/lookup-self", None, {"X-Vault-Token": "wrong"})[0] == 403
    status, reply, _ = call(url, "POST", "auth/token/create", {"ttl": "5s"}, {"X-Vault-Token": lab.bao.root_token})
    assert status == 200 and lab.bao.remaining(reply["auth"]["client_token"]) > 0
    seen = lab.front_door.exchanges[-1]
    assert (seen.method, seen.path, seen.token, seen.status) == (
        "POST",
        "auth/token/create",
        lab.bao.root_token,
        200,
    )


def test_answers_in_openbaos_place(lab):
    lab.front_door.answer("sys/health", Reply.json(412, {"errors": ["required index state not present"]}), times=1)
    url = lab.front_door.url
    assert call(url, "GET", "sys/health")[0] == 412
    assert call(url, "GET", "sys/health")[0] == 200


def test_a_sealed_server_answers_503_to_logins_too(lab):
    lab.bao.seal()
    status, reply = log_in(lab, signed_login(lab.imds.credentials))
    assert status == 503 and "sealed" in reply["errors"][0].lower()
    lab.bao.unseal()
    assert log_in(lab, signed_login(lab.imds.credentials))[0] == 200


def test_a_quota_on_the_login_answers_429(lab):
    lab.role("limited", ttl="20s")
    lab.bao.expect("POST", "sys/quotas/config", {"enable_rate_limit_response_headers": True})
    lab.bao.expect("POST", "sys/quotas/rate-limit/logins", {"rate": 1, "interval": "1h", "path": "auth/aws/login"})
    answers = [call(lab.front_door.url, "POST", "auth/aws/login", signed_login(lab.imds.credentials)) for _ in range(3)]
    assert answers[-1][0] == 429 and int(answers[-1][2]["Retry-After"]) > 0


class TestEC2:
    @pytest.fixture
    def role(self, lab):
        lab.role("machine", AwsRole("ec2", bound_images=[lab.aws.image_id]), ttl="20s")
        return "machine"

    @staticmethod
    def proof(lab, name: str) -> str:
        request = urllib.request.Request(
            f"{lab.imds.url}/latest/api/token",
            method="PUT",
            headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            session = answer.read().decode()
        request = urllib.request.Request(
            f"{lab.imds.url}/latest/dynamic/instance-identity/{name}",
            headers={"X-aws-ec2-metadata-token": session},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.read().decode()

    @pytest.mark.parametrize("name", ["rsa2048", "pkcs7"])
    def test_a_signed_document_lets_in(self, lab, role, name):
        fields = {"role": role, "pkcs7": self.proof(lab, name).replace("\n", ""), "nonce": "n" * 20}
        status, reply = log_in(lab, fields)
        assert status == 200, reply
        assert reply["auth"]["metadata"]["instance_id"] == lab.aws.instance_id
        assert "nonce" not in reply["auth"]["metadata"]

    def test_document_and_signature_let_in(self, lab, role):
        document = base64.b64encode(self.proof(lab, "document").encode()).decode()
        signature = self.proof(lab, "signature").replace("\n", "")
        status, reply = log_in(lab, {"role": role, "identity": document, "signature": signature})
        assert status == 200 and len(reply["auth"]["metadata"]["nonce"]) == 32

    def test_a_forged_document_is_a_500(self, lab, role):
        forged = self.proof(lab, "rsa2048").replace("\n", "")[:-40] + "A" * 40
        status, reply = log_in(lab, {"role": role, "pkcs7": forged, "nonce": "n" * 20})
        assert status == 500 and reply["errors"] == ["failed to verify the signature"]
        document = base64.b64encode(self.proof(lab, "document").encode() + b" ").decode()
        signature = self.proof(lab, "signature").replace("\n", "")
        status, reply = log_in(lab, {"role": role, "identity": document, "signature": signature})
        assert status == 500 and "instance identity verification" in reply["errors"][0]

    def test_the_nonce_of_the_first_login_is_asked_for_ever_after(self, lab, role):
        fields = {"role": role, "pkcs7": self.proof(lab, "rsa2048").replace("\n", ""), "nonce": "first-nonce"}
        assert log_in(lab, fields)[0] == 200
        assert log_in(lab, fields)[0] == 200
        assert log_in(lab, {**fields, "nonce": "another"})[1]["errors"] == ["client nonce mismatch"]
        del fields["nonce"]
        assert log_in(lab, fields)[1]["errors"] == ["client nonce mismatch"]

    def test_an_empty_nonce_disables_reauthentication(self, lab, role):
        fields = {"role": role, "pkcs7": self.proof(lab, "rsa2048").replace("\n", ""), "nonce": ""}
        assert log_in(lab, fields)[0] == 200
        assert log_in(lab, fields)[1]["errors"] == ["reauthentication is disabled"]
