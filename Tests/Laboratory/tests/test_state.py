"""Tests share a laboratory, and none of them meets what another has done to it."""

import dataclasses
import socket
import time

import pytest
from signing import log_in, signed_login

from laboratory.aws_login import AwsRole
from laboratory.laboratory import Laboratory, Mark
from laboratory.metadata import Fault
from laboratory.web import Reply

READING = 'path "secret/*" { capabilities = ["read"] }'


def another_policy(lab: Laboratory) -> None:
    lab.bao.expect("POST", "sys/policies/acl/reader", {"policy": READING})


def another_default_policy(lab: Laboratory) -> None:
    lab.bao.expect("POST", "sys/policies/acl/default", {"policy": READING})


def a_quota(lab: Laboratory) -> None:
    lab.bao.expect("POST", "sys/quotas/config", {"enable_rate_limit_response_headers": True})
    lab.bao.expect("POST", "sys/quotas/rate-limit/logins", {"rate": 1, "interval": "5s", "path": "auth/aws/login"})


def a_mount_in_a_namespace(lab: Laboratory) -> None:
    lab.bao.expect("POST", "sys/namespaces/team", {})
    lab.role("app", mount=lab.front_door.mount("auth/cloud", namespace="team"), ttl="7s")


def another_mount_in_the_place_of_the_first(lab: Laboratory) -> None:
    lab.front_door.unmount("auth/aws")
    lab.role("other", mount=lab.front_door.mount("auth/aws"), ttl="7s")


def a_login_that_is_remembered(lab: Laboratory) -> None:
    lab.role("machine", AwsRole("ec2"), ttl="20s")
    lab.mount.logins._admit(lab.aws.instance_id, "now", {}, lab.mount.logins.roles["machine"])
    assert lab.mount.logins.access_list


def no_way_to_sts(lab: Laboratory) -> None:
    lab.mount.logins.sts_reachable = False


CHANGES = {
    "a role's terms": lambda lab: lab.role("app", ttl="10m", max_ttl="1h"),
    "whom a role lets in": lambda lab: lab.role("app", AwsRole(bound_principals=["nobody"]), ttl="20s", max_ttl="60s"),
    "one role more": lambda lab: lab.role("calm", ttl="10m"),
    "a deleted role": lambda lab: lab.mount.delete_role("app"),
    "a policy": another_policy,
    "the default policy": another_default_policy,
    "a quota": a_quota,
    "a mount in a namespace": a_mount_in_a_namespace,
    "a mount in the place of the first": another_mount_in_the_place_of_the_first,
    "a secrets engine": lambda lab: lab.bao.expect("POST", "sys/mounts/secret", {"type": "kv"}),
    "a seal": lambda lab: lab.bao.seal(),
    "the access list": a_login_that_is_remembered,
    "no way to STS": no_way_to_sts,
    "an answer in OpenBao's place": lambda lab: lab.front_door.answer("auth/aws/login", Reply(503), times=9),
    "an answer in STS's place": lambda lab: lab.aws.answer_sts(Reply(503), None),
    "a listener": lambda lab: lab.front_door.listen(),
    "a fault of the metadata service": lambda lab: setattr(lab.imds, "fault", Fault.DOWN),
    "version 1 of the metadata service": lambda lab: setattr(lab.imds, "version_1", True),
    "other credentials": lambda lab: lab.imds.rotate(),
    "a second key": lambda lab: lab.aws.another_key(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_a_test_has_changed_is_put_back(lab: Laboratory, change):
    before = lab.mark()
    change(lab)
    changed = lab.mark()
    assert before.state.differences(changed.state)
    lab.return_to(before)
    assert lab.mark() == before
    status, reply = log_in(lab, signed_login(lab.imds.credentials))
    assert status == 200 and reply["auth"]["lease_duration"] == 20


def test_what_cannot_be_put_back_is_the_failure_of_the_test_that_did_it(lab: Laboratory):
    before = lab.mark()
    told = dict(before.state.stand_ins) | {"version 2 of the metadata service": False}
    with pytest.raises(AssertionError, match="version 2 of the metadata service: gone, was False"):
        lab.return_to(Mark(before.guests, dataclasses.replace(before.state, stand_ins=told)))


def test_nothing_comes_later_of_a_client_that_has_gone(lab: Laboratory):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", int(lab.front_door.url.rpartition(":")[2])), 5) as client:
            client.sendall(b"GET /v1/sys/health HTTP/1.1\r\nHost: vault\r\n\r\n")
    lab.front_door.settle()
    answered = len(lab.front_door.exchanges)
    time.sleep(0.5)
    assert len(lab.front_door.exchanges) == answered


def test_what_a_test_has_made_for_itself_is_stopped(lab: Laboratory):
    before = lab.mark()
    port = lab.fault_proxy().port
    socket.create_connection(("127.0.0.1", port), 5).close()
    lab.return_to(before)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)


@pytest.mark.parametrize("fault", [Fault.NONE, Fault.SLOW, Fault.PUT_HANGS])
def test_no_test_meets_what_was_asked_of_the_metadata_service_before(lab: Laboratory, fault: Fault):
    before = lab.mark()
    lab.imds.fault = fault
    clients = [socket.create_connection(("127.0.0.1", int(lab.imds.url.rpartition(":")[2])), 5) for _ in range(20)]
    for client in clients:
        client.sendall(b"PUT /latest/api/token HTTP/1.1\r\nHost: imds\r\nContent-Length: 0\r\n\r\n")
    lab.return_to(before)
    asked = len(lab.imds.requests)
    for client in clients:
        client.settimeout(20)
        while client.recv(4096):
            pass
        client.close()
    assert len(lab.imds.requests) == asked
