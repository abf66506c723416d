"""ec2 logins: an instance identity document signed by the laboratory's key, a nonce that survives restarts."""

import shutil

import pytest

from laboratory.aws_login import AwsRole


@pytest.fixture
def configuration(lab, tmp_path):
    lab.role("machine", AwsRole("ec2", bound_images=[lab.aws.image_id]), ttl="20s")
    made = lab.configuration(tmp_path)
    made["tokens"][0]["auth"] = {"type": "ec2", "role": "machine"}
    made["state_directory"] = str(tmp_path / "state")
    (tmp_path / "state").mkdir()
    return made


@pytest.mark.parametrize("proof", ["rsa2048", "pkcs7", "identity"])
def test_each_proof_of_identity_logs_in(lab, tmp_path, configuration, proof):
    configuration["tokens"][0]["auth"]["identity_document"] = proof
    run = lab.agent(folder=tmp_path, configuration=configuration)
    assert lab.bao.remaining(run.wait_for_token(10)) is not None
    run.stop()


def test_the_nonce_is_kept_before_the_first_login_and_sent_ever_after(lab, tmp_path, configuration):
    run = lab.agent(folder=tmp_path, configuration=configuration)
    first = run.wait_for_token(10)
    seen = lab.mount.logins.access_list[lab.aws.instance_id]
    lab.keep_secret(seen.nonce)
    assert 16 <= len(seen.nonce) <= 128
    kept = [path for path in (tmp_path / "state").rglob("*") if path.is_file() and seen.nonce in path.read_text()]
    assert len(kept) == 1 and kept[0].stat().st_mode & 0o777 == 0o600
    lab.bao.revoke(first)
    run.wait_for_token(8, other_than=first)
    run.stop()
    lab.bao.revoke(run.token())
    again = lab.agent(folder=tmp_path / "again", configuration=configuration)
    again.wait_for_log("Logged in", 10)
    again.stop()


def test_the_nonce_and_its_name_are_on_the_disk_before_the_login(lab, tmp_path, configuration):
    trace = tmp_path / "trace"
    watched = ("strace", "-D", "-f", "-y", "-s", "0", "-e", "trace=fsync,renameat,connect", "-o", str(trace))
    run = lab.agent(folder=tmp_path, configuration=configuration, prefix=watched)
    run.wait_for_token(20)
    run.stop()
    lines = trace.read_text().splitlines()
    state = str(tmp_path / "state")
    port = lab.front_door.url.rpartition(":")[2]

    def first(*words: str) -> int:
        return next(index for index, line in enumerate(lines) if all(word in line for word in words))

    content = first("fsync(", f"<{state}/.nonce-app.vta-")
    name = first("renameat(", "nonce-app")
    directory = first("fsync(", f"<{state}>")
    login = first("connect(", f"htons({port})")
    assert content < name < directory < login, lines


def test_without_its_nonce_the_operator_is_told_what_to_do(lab, tmp_path, configuration):
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(10)
    run.stop()
    lab.bao.revoke(token)
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "state").mkdir()
    lost = lab.agent(folder=tmp_path, configuration=configuration)
    line = lost.wait_for_log("client nonce mismatch", 10)
    assert "access" in line or "identity" in line
    lost.stop()


def test_a_place_for_the_nonce_is_waited_for(lab, tmp_path, configuration):
    before = lab.logins()
    configuration["state_directory"] = str(tmp_path / "nowhere")
    run = lab.agent(folder=tmp_path, configuration=configuration)
    line = run.wait_for_log("This machine is not ready for the token", 10)
    assert "nonce" in line and str(tmp_path / "nowhere") in line
    assert run.child.running and run.stop().status == 0
    assert lab.logins() == before
