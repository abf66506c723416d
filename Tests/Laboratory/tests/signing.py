"""A login as a client of botocore's would sign it, and sent: the counterpart that proves the front door."""

import base64
import json
import urllib.error
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from laboratory.aws import REGION, Credentials
from laboratory.laboratory import SERVER_ID

BODY = b"Action=GetCallerIdentity&Version=2011-06-15"


def signed_login(
    credentials: Credentials,
    *,
    role: str | None = "app",
    server_id: str | None = SERVER_ID,
    extra: dict[str, str] | None = None,
    url: str = f"https://sts.{REGION}.amazonaws.com/",
    body: bytes = BODY,
    signed_body: bytes | None = None,
) -> dict:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", **(extra or {})}
    if server_id is not None:
        headers["X-Vault-AWS-IAM-Server-ID"] = server_id
    request = botocore.awsrequest.AWSRequest("POST", url, headers=headers, data=signed_body or body)
    keys = botocore.credentials.Credentials(credentials.access_key, credentials.secret_key, credentials.session_token)
    botocore.auth.SigV4Auth(keys, "sts", REGION).add_auth(request)
    fields = {
        "iam_http_request_method": "POST",
        "iam_request_url": base64.b64encode(url.encode()).decode(),
        "iam_request_body": base64.b64encode(body).decode(),
        "iam_request_headers": base64.b64encode(json.dumps(dict(request.headers.items())).encode()).decode(),
    }
    if role is not None:
        fields["role"] = role
    return fields


def call(url: str, method: str, path: str, body=None, headers=None) -> tuple[int, dict, dict]:
    request = urllib.request.Request(
        f"{url}/v1/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers=headers or {},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else {}, dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read()), dict(error.headers)


def log_in(lab, fields: dict, headers=None) -> tuple[int, dict]:
    status, reply, _ = call(lab.front_door.url, "POST", "auth/aws/login", fields, headers)
    return status, reply
