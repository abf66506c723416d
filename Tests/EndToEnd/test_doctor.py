"""`doctor`: what it says of each step, what is no failure, and that it takes nothing that is in use."""

import datetime
import json
import re
import socket

from laboratory.agent import run_once
from laboratory.aws import sts_error
from laboratory.web import Reply


def verdicts(output: str) -> dict[str, str]:
    """What `doctor` found, by subject; the worst where there are several."""
    ranks = ["ok", "skipped", "warning", "failed"]
    found: dict[str, str] = {}
    for line in output.splitlines():
        match = re.match(r"(ok|skipped|warning|failed) +(\S(?:\S| (?! ))*)  ", line)
        if match:
            verdict, subject = match.groups()
            found[subject] = max(verdict, found.get(subject, "ok"), key=ranks.index)
    return found


def test_doctor_finds_nothing_wrong_where_all_is_well_and_leaves_no_token_behind(lab, tmp_path):
    logins, revocations = lab.logins(), lab.front_door.count(path_ends="/revoke-self")
    done = lab.agent(folder=tmp_path, command=("doctor",)).finish()
    assert done.status == 0, done.output
    assert set(verdicts(done.output).values()) == {"ok"}
    subjects = {"configuration", "credentials", "region", "clock", "identity", "DNS", "TCP", "Vault", "login", "sink"}
    assert subjects <= set(verdicts(done.output))
    assert lab.logins() == logins + 1
    assert lab.front_door.count(path_ends="/revoke-self") == revocations + 1
    assert not (tmp_path / "token").exists()


def test_doctor_finds_nothing_wrong_in_a_namespace(lab, tmp_path):
    lab.bao.expect("POST", "sys/namespaces/tenant", {})
    lab.role("app", mount=lab.front_door.mount(namespace="tenant"), ttl="1h")
    configuration = lab.configuration(tmp_path)
    configuration["vault"]["namespace"] = "tenant"
    done = lab.agent(folder=tmp_path, configuration=configuration, command=("doctor",)).finish()
    assert done.status == 0 and set(verdicts(done.output).values()) == {"ok"}, done.output


def test_doctor_tells_of_a_readers_key_that_is_none(lab, tmp_path):
    configuration = lab.configuration(tmp_path)
    key = tmp_path / "key"
    key.write_text('{"curve25519_public_key": "AAAA"}')
    configuration["tokens"][0]["sinks"][0] |= {"dh_type": "curve25519", "dh_path": str(key)}
    done = lab.agent(folder=tmp_path, configuration=configuration, command=("doctor", "--no-login")).finish()
    assert done.status == 1 and verdicts(done.output)["public key"] == "failed"
    assert f"{key} holds a key that is not base64 of 32 bytes" in done.output


def test_doctor_says_what_fails_and_goes_on(lab, tmp_path):
    configuration = lab.configuration(tmp_path, role="no-such-role")
    configuration["tokens"][0]["sinks"].append({"type": "file", "path": str(tmp_path / "missing" / "token")})
    configuration["state_directory"] = "/nonexistent"
    done = lab.agent(folder=tmp_path, configuration=configuration, command=("doctor",)).finish()
    found = verdicts(done.output)
    assert done.status == 1
    assert [subject for subject, verdict in found.items() if verdict == "failed"] == [
        "state_directory",
        "login",
        "sink",
    ]
    assert "[vault_login_refused]" in done.output
    assert found["Vault"] == found["identity"] == "ok"


def test_doctor_tells_name_connection_and_certificate_apart(lab, tls_lab, tmp_path):
    def findings(name: str, environment: dict, **options: object) -> dict[str, str]:
        lab_ = tls_lab if environment else lab
        run = lab_.agent(
            folder=tmp_path / name, command=("doctor", "--no-login"), environment=environment or None, **options
        )
        return verdicts(run.finish().output)

    unknown = findings("unknown", {}, address="https://no-such-host.invalid:8200")
    assert unknown["DNS"] == "failed" and "TCP" not in unknown
    refused = findings("refused", {}, address="http://127.0.0.1:1")
    assert refused["DNS"] == "ok" and refused["TCP"] == "failed"

    certificates = tls_lab.certificates
    tls = {
        "VAULT_CACERT": str(certificates.authority),
        "VAULT_CLIENT_CERT": str(certificates.client.certificate),
        "VAULT_CLIENT_KEY": str(certificates.client.key),
    }
    good = findings("good", tls, address=tls_lab.tls_url)
    assert good["TLS"] in ("ok", "warning") and good["Vault"] == "ok"
    wrong = findings("wrong", tls, address=tls_lab.wrong_name_url)
    assert wrong["TCP"] == "ok" and wrong["TLS"] == "failed" and "Vault" not in wrong
    stranger = findings("stranger", {"VAULT_CACERT": "/etc/ssl/certs/ca-certificates.crt"}, address=tls_lab.tls_url)
    assert stranger["TLS"] == "failed"


def findings(output: str) -> dict[str, list[dict]]:
    """Of `doctor --json`, by subject."""
    found: dict[str, list[dict]] = {}
    for finding in json.loads(output)["findings"]:
        found.setdefault(finding["subject"], []).append(finding)
    return found


def test_the_json_says_what_the_lines_say(lab, tmp_path):
    lines = lab.agent(folder=tmp_path / "lines", role="no-such-role", command=("doctor",)).finish()
    document = lab.agent(folder=tmp_path, role="no-such-role", command=("doctor", "--json")).finish()
    assert lines.status == document.status == 1
    found = json.loads(document.output)
    (login,) = findings(document.output)["login"]
    assert login["verdict"] == "failed" and login["code"] == "vault_login_refused"
    assert [each["subject"] for each in found["findings"]] == [
        line.split(maxsplit=2)[1]
        for line in lines.output.splitlines()
        if re.match("(ok|skipped|warning|failed) ", line)
    ]
    assert found["count"]["failed"] == 1 and sum(found["count"].values()) == len(found["findings"])
    unreadable = run_once(["doctor", "--json", "--config", "/nonexistent"], {})
    assert unreadable.status == 66
    assert findings(unreadable.output)["configuration"][0]["code"] == "file_unreadable"


def test_an_sts_out_of_this_machines_reach_fails_no_iam_login(lab, tmp_path):
    environment = {"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1"}
    done = lab.agent(folder=tmp_path, environment=environment, command=("doctor",)).finish()
    found = verdicts(done.output)
    assert done.status == 0, done.output
    assert found["identity"] == found["clock"] == "warning" and found["login"] == "ok"
    assert "Vault asks STS, not the agent [aws_sts_unavailable]" in done.output


def test_a_clock_is_judged_by_what_sts_said_of_a_signature(lab, tmp_path):
    now = datetime.datetime.now(datetime.UTC)
    stamp = "%Y%m%dT%H%M%SZ"
    sts_time = now + datetime.timedelta(minutes=20)
    limit = sts_time - datetime.timedelta(minutes=15)
    refusal = f"Signature expired: {now:{stamp}} is now earlier than {limit:{stamp}} ({sts_time:{stamp}} - 15 min.)"
    # The laboratory's STS has this machine's clock, and would refuse the signature that is right by the other.
    answer = (
        "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/late</Arn>"
        "<UserId>AIDA</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
    lab.aws.answer_sts(sts_error(403, "SignatureDoesNotMatch", refusal), Reply(200, answer.encode()))
    done = lab.agent(folder=tmp_path, command=("doctor", "--no-login", "--json")).finish()
    found = findings(done.output)
    (clock,) = found["clock"]
    assert clock["verdict"] == "warning" and clock["code"] == "clock_skew", done.output
    assert re.search(r"this machine is (20m|19m5\ds) behind STS", clock["text"])
    assert found["identity"][0]["text"] == "arn:aws:iam::123456789012:user/late"
    # A day and more is not believed, and the signature cannot be mended.
    far = now + datetime.timedelta(days=2)
    limit = far - datetime.timedelta(minutes=15)
    refusal = f"Signature expired: {now:{stamp}} is now earlier than {limit:{stamp}} ({far:{stamp}} - 15 min.)"
    lab.aws.answer_sts(sts_error(403, "SignatureDoesNotMatch", refusal))
    done = lab.agent(folder=tmp_path / "far", command=("doctor", "--no-login", "--json")).finish()
    assert done.status == 1 and findings(done.output)["clock"][0]["verdict"] == "failed", done.output


def test_for_whose_ears_a_login_is_signed_is_said_and_tried(lab, tmp_path):
    configuration = lab.configuration(tmp_path)
    auth = configuration["tokens"][0]["auth"]
    auth.update(region="auto", header_value="vault.example.com")
    environment = {"AWS_REGION": "eu-west-1"}

    def examined(folder: str) -> dict[str, list[dict]]:
        return findings(
            lab.agent(
                folder=tmp_path / folder,
                configuration=configuration,
                environment=environment,
                command=("doctor", "--json"),
            )
            .finish()
            .output
        )

    (audience,) = examined("first")["audience"]
    assert audience["verdict"] == "ok"
    assert audience["text"] == (
        "signed for us-east-1 (Vault's own clients begin with it), for Vault to send to "
        "https://sts.amazonaws.com/, header_value vault.example.com"
    )
    # The first request is the agent's own, the second is Vault's.
    refusal = "Credential should be scoped to a valid region, not 'us-east-1'. "
    identity = run_once(["credentials", "--format", "json"], lab.environment())
    assert json.loads(identity.output)["login"]["region"] == "us-east-1"
    environment["AWS_ENDPOINT_URL_STS"] = "http://127.0.0.1:1"
    lab.aws.answer_sts(sts_error(403, "SignatureDoesNotMatch", refusal))
    begun, taken = examined("second")["audience"]
    assert begun["verdict"] == "ok" and taken["verdict"] == "warning"
    assert "Vault's STS takes eu-west-1, not aws-global. Set auth.region to it" in taken["text"]


def test_beside_a_running_agent_nothing_is_taken_and_its_socket_is_no_failure(lab, tmp_path):
    configuration = lab.configuration(tmp_path)
    path = tmp_path / "socket"
    configuration["tokens"][0]["sinks"].append({"type": "socket", "path": str(path), "mode": "0600"})
    run = lab.agent(folder=tmp_path, configuration=configuration)
    token = run.wait_for_token(10)
    run.wait_for_log("Ready", 10)
    before = (run.sink.stat(), path.stat(), run.status_file["tokens"])

    done = run_once(["doctor", "--json", "--config", run.configuration], lab.environment())
    assert done.status == 0, done.output
    found = findings(done.output)
    assert [(each["verdict"], each["text"]) for each in found["sink"]] == [
        ("ok", f"file {run.sink}"),
        ("ok", f"socket {path}"),
    ]
    after = (run.sink.stat(), path.stat(), run.status_file["tokens"])
    for old, new in zip(before[:2], after[:2], strict=True):
        assert (old.st_ino, old.st_mode, old.st_mtime_ns) == (new.st_ino, new.st_mode, new.st_mtime_ns)
    assert before[2][0]["counters"]["sink_repairs"] == after[2][0]["counters"]["sink_repairs"]
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert client.recv(4096).decode().strip() == token
    assert sorted(each.name for each in tmp_path.iterdir() if each.name.startswith(".")) == []
    run.stop()

    # Somebody else's socket is one.
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        done = run_once(["doctor", "--no-login", "--json", "--config", run.configuration], lab.environment())
    assert done.status == 1
    assert [each["verdict"] for each in findings(done.output)["sink"]] == ["ok", "failed"]
