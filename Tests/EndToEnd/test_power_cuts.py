"""A power cut at any moment: what the agent writes is then the old content or the new, whole, with no wider rights.

The real agent does what it does, strace writes it down, and a model of a disk that loses what was not synced goes
through every moment of it.
"""

import hashlib
import os

import pytest

from laboratory.aws_login import AwsRole
from laboratory.lossy_disk import Recording, cuts, generations, record, violations, watching
from laboratory.processes import wait_until


def expect_whole(recording: Recording, path: str, readers: set[str], least: int) -> None:
    """At least so many contents were put there, no cut leaves another, and each sync on the way is needed for that."""
    assert len(generations(recording, path)) > least, f"{path} was not replaced so often"
    assert not next(violations(recording, path, readers), None)
    folder = os.path.dirname(path)
    syncs = [sync for sync in recording.syncs() if os.path.dirname(sync.subject) == folder or sync.subject == folder]
    assert len(syncs) >= 2 * least
    for sync in syncs:
        assert next(violations(recording.without(sync), path, readers), None), f"fsync of {sync.subject} is not missed"


@pytest.fixture
def places(tmp_path):
    """A directory for each file, so that none is synced by chance, for another's sake."""
    for name in ("plain", "given", "json", "sealed", "state", "status", "metrics"):
        (tmp_path / "disk" / name).mkdir(parents=True)
    return tmp_path / "disk"


def test_what_a_service_writes_survives_a_power_cut_at_any_moment(lab, tmp_path, places):
    lab.role("restless", ttl="6s", max_ttl="10s")
    trace = tmp_path / "trace"
    lab.may_hold.add(trace)
    configuration = lab.configuration(tmp_path, role="restless")
    (tmp_path / "reader.json").write_text('{"curve25519_public_key": "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="}')
    configuration["tokens"][0]["sinks"] = [
        {"type": "file", "path": str(places / "plain" / "token")},
        {
            "type": "file",
            "path": str(places / "given" / "token"),
            "mode": "0640",
            "owner": "65534",
            "group": "65533",
        },
        {"type": "file", "path": str(places / "json" / "token"), "format": "json", "mode": "0600"},
    ]
    configuration["state_directory"] = str(places / "state")
    configuration["status_file"] = str(places / "status" / "status.json")
    configuration["metrics"] = {"textfile": str(places / "metrics" / "agent.prom")}
    run = lab.agent(folder=tmp_path, configuration=configuration, prefix=watching(trace))
    wait_until(lambda: run.log.count("Token written") >= 3 * 3, 60, "three tokens in each sink")
    assert run.stop(20).status == 0
    recording = record(trace, places)
    trace.unlink()

    agent, own = f"user {os.geteuid()}", f"group {os.getegid()}"
    expect_whole(recording, str(places / "state" / "takeover-app"), {agent}, least=3)
    expect_whole(recording, str(places / "plain" / "token"), {agent, own}, least=3)
    expect_whole(recording, str(places / "given" / "token"), {agent, "user 65534", "group 65533"}, least=3)
    expect_whole(recording, str(places / "json" / "token"), {agent}, least=4)
    expect_whole(recording, str(places / "status" / "status.json"), {agent, own, "all"}, least=3)
    expect_whole(recording, str(places / "metrics" / "agent.prom"), {agent, own, "all"}, least=2)
    expect_on_record(recording, str(places / "plain" / "token"), str(places / "state" / "takeover-app"))


def expect_on_record(recording: Recording, sink: str, takeover: str) -> None:
    """A token that readers may find after a cut is on record after it."""
    tokens = {g.content for g in generations(recording, sink) if g.content}
    digest = {token: hashlib.sha256(token.strip()).hexdigest().encode() for token in tokens}
    seen = set()
    for cut in cuts(recording):
        found = cut.contents(sink, recording.before) & tokens
        records = cut.contents(takeover, recording.before)
        for token in found:
            assert all(digest[token] in (each or b"") for each in records), f"cut before step {cut.index}"
        seen |= found
    assert len(seen) >= 3


def test_the_nonce_of_an_ec2_login_survives_a_power_cut_at_any_moment(lab, tmp_path, places):
    lab.role("machine", AwsRole("ec2", bound_images=[lab.aws.image_id]), ttl="20s")
    trace = tmp_path / "trace"
    lab.may_hold.add(trace)
    configuration = lab.configuration(tmp_path)
    configuration["tokens"][0]["auth"] = {"type": "ec2", "role": "machine"}
    # A nonce that was made is never another one; nothing else may be written there meanwhile.
    configuration["state_directory"] = str(places / "state")
    run = lab.agent(folder=tmp_path, configuration=configuration, prefix=watching(trace))
    run.wait_for_token(20)
    assert run.stop(20).status == 0
    recording = record(trace, places)
    trace.unlink()
    nonce = str(places / "state" / "nonce-app")
    assert [g.content is None for g in generations(recording, nonce)] == [True, False]
    assert not next(violations(recording, nonce, {f"user {os.geteuid()}"}), None)
    content = next(sync for sync in recording.syncs() if ".nonce-app.vta-" in sync.subject)
    assert next(violations(recording.without(content), nonce, {f"user {os.geteuid()}"}), None)


def test_a_token_that_is_taken_away_does_not_come_back_by_a_power_cut(lab, tmp_path, places):
    lab.role("fleeting", ttl="1h")
    trace = tmp_path / "trace"
    lab.may_hold.add(trace)
    configuration = lab.configuration(tmp_path, role="fleeting")
    configuration["tokens"][0]["sinks"][0]["path"] = str(places / "plain" / "token")
    configuration["tokens"][0]["revoke_on_stop"] = True
    run = lab.agent(folder=tmp_path, configuration=configuration, prefix=watching(trace))
    run.wait_for_log("Token written", 20)
    assert run.stop(20).status == 0
    recording = record(trace, places)
    trace.unlink()
    path = str(places / "plain" / "token")
    assert [g.content is None for g in generations(recording, path)] == [True, False, True]
    readers = {f"user {os.geteuid()}", f"group {os.getegid()}"}
    assert not next(violations(recording, path, readers), None)
    last = recording.syncs()[-1]
    assert next(violations(recording.without(last), path, readers), None)
