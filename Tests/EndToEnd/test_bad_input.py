"""What cannot work says so in one line and writes nothing; what may work later is tried again."""

import copy
import dataclasses
import stat

import pytest

from laboratory.aws import OTHER_ROLE
from laboratory.faults import Fault
from laboratory.processes import unshared


def one_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, text
    return lines[0]


def changed(configuration: dict, **changes: object) -> dict:
    """A configuration with some values replaced; a double underscore descends."""
    result = copy.deepcopy(configuration)
    for path, value in changes.items():
        *way, last = path.split("__")
        place = result
        for step in way:
            place = place[int(step) if isinstance(place, list) else step]
        place[int(last) if isinstance(place, list) else last] = value
    return result


REFUSED = {
    "not JSON": (lambda base, folder: '{"vault": ', "agent.json"),
    "empty": (lambda base, folder: "", "agent.json"),
    "an address without a scheme": (
        lambda base, folder: changed(base, vault__address="vault.example.com:8200"),
        "vault.address",
    ),
    "an unknown key": (lambda base, folder: changed(base, vault__adress="x"), "adress"),
    "a bare number for a mode": (lambda base, folder: changed(base, tokens__0__sinks__0__mode=640), "mode"),
    "no tokens": (lambda base, folder: changed(base, tokens=[]), "tokens"),
}
# What the machine lacks may come yet: a service waits for it, a command ends.
AWAITED = {
    "a missing directory": (
        lambda base, folder: changed(base, tokens__0__sinks__0__path=str(folder / "missing" / "token")),
        "missing: No such file or directory",
    ),
    "an unknown owner": (
        lambda base, folder: changed(base, tokens__0__sinks__0__owner="no-such-user"),
        "user no-such-user is unknown on this machine",
    ),
}


@pytest.mark.parametrize("command", [("run",), ("login",)], ids=lambda command: command[0])
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.replace(" ", "-"))
def test_a_configuration_that_cannot_work_ends_with_78_and_one_line(lab, tmp_path, case, command):
    make, names = REFUSED[case]
    before = lab.logins()
    run = lab.agent(folder=tmp_path, configuration=make(lab.configuration(tmp_path), tmp_path), command=command)
    finished = run.finish(10)
    assert finished.status == 78, finished
    assert names in one_line(finished.log)
    assert finished.output == ""
    # The lock of a running agent stays: another might hold it by the time that it is removed.
    assert {path.name for path in tmp_path.iterdir()} - {"status.json.lock"} == {"agent.json", "log", "output"}
    assert lab.logins() == before


def expect_wait(run, words: str) -> None:
    line = run.wait_for_log("This machine is not ready for the token", 10)
    assert words in line, line
    assert run.child.running and run.token() is None
    assert run.stop().status == 0


@pytest.mark.parametrize("case", AWAITED, ids=lambda case: case.replace(" ", "-"))
def test_what_the_machine_lacks_is_waited_for_and_ends_a_login_with_73(lab, tmp_path, case):
    make, names = AWAITED[case]
    before = lab.logins()
    configuration = make(lab.configuration(tmp_path), tmp_path)
    expect_wait(lab.agent(folder=tmp_path, configuration=configuration), names)
    finished = lab.agent(folder=tmp_path, configuration=configuration, command=("login",)).finish(10)
    assert finished.status == 73, finished
    assert names in finished.log.splitlines()[-1]
    assert lab.logins() == before


def test_a_sink_on_a_read_only_file_system_is_waited_for(lab, tmp_path):
    sealed = tmp_path / "sealed"
    sealed.mkdir()
    read_only = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    run = lab.agent(
        folder=tmp_path,
        configuration=changed(lab.configuration(tmp_path), tokens__0__sinks__0__path=str(sealed / "token")),
        prefix=(*unshared("--mount"), "sh", "-c", read_only, str(sealed)),
    )
    expect_wait(run, "Read-only file system")


def test_a_sink_in_a_directory_of_others_is_waited_for(lab, tmp_path):
    # As nobody: root may write anywhere.
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(path.stat().st_mode | 0o005)
    run = lab.agent(
        folder=tmp_path,
        configuration=changed(lab.configuration(tmp_path), status_file=None),
        prefix=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"),
    )
    expect_wait(run, "Permission denied")


def test_a_configuration_file_that_is_missing(lab, tmp_path):
    run = lab.agent(folder=tmp_path)
    run.child.stop()
    run.configuration.unlink()
    finished = lab.agent(
        folder=tmp_path / "other", configuration="{}", command=("run", "--config", "/nonexistent/agent.json")
    ).finish(10)
    assert finished.status in (64, 66, 78), finished


def test_vault_unreachable_at_the_start_is_waited_for(lab):
    proxy = lab.fault_proxy()
    proxy.set(Fault.REFUSE)
    run = lab.agent(address=proxy.url)
    run.wait_for_log("refused|could not connect|unreachable", 10)
    assert run.child.running and run.token() is None
    proxy.set(Fault.NONE)
    token = run.wait_for_token(5)
    assert lab.bao.remaining(token) is not None
    finished = run.stop()
    assert finished.status == 0


@pytest.mark.parametrize("kind", ["unknown", "of another principal", "wrong server ID", "refused signature"])
def test_a_refused_login_says_what_vault_said_and_what_to_change(lab, kind):
    environment = {}
    configuration = None
    folder = None
    match kind:
        case "unknown":
            run = lab.agent(role="nobody")
            words = "entry for role nobody not found"
        case "of another principal":
            environment = lab.aws.assume(OTHER_ROLE).environment
            run = lab.agent(environment=environment)
            words = "does not belong to the role"
        case "wrong server ID":
            folder = lab.folder / "wrong-server-id"
            configuration = changed(lab.configuration(folder), tokens__0__auth__header_value="elsewhere.example.com")
            run = lab.agent(folder=folder, configuration=configuration)
            words = "X-Vault-AWS-IAM-Server-ID"
        case "refused signature":
            forged = dataclasses.replace(lab.aws.user, secret_key="k" * 40)
            run = lab.agent(environment=forged.environment)
            words = "signature|SignatureDoesNotMatch"
    line = run.wait_for_log(words, 10)
    assert run.child.running and run.token() is None
    assert line
    assert run.stop().status == 0


def test_a_refused_login_ends_the_login_command_with_77(lab):
    finished = lab.agent(role="nobody", command=("login",)).finish(15)
    assert finished.status == 77, finished
    assert "entry for role nobody not found" in finished.log


def test_login_writes_the_sink_and_prints_what_vault_login_prints(lab):
    run = lab.agent(command=("login",))
    finished = run.finish(15)
    assert finished.status == 0, finished
    token = run.token()
    assert token is not None and lab.bao.remaining(token) is not None
    assert stat.S_IMODE(run.sink.stat().st_mode) == 0o640
    for word in ("accessor", "duration", "renewable", "policies"):
        assert word in finished.output
    assert token not in finished.output


def test_login_prints_the_token_only_when_asked(lab):
    run = lab.agent(command=("login", "--print-token"), prints_token=True)
    finished = run.finish(15)
    assert finished.status == 0, finished
    token = run.token()
    assert token is not None and token in finished.output


def test_config_check_says_where_each_value_comes_from(lab):
    run = lab.agent(command=("config", "check"), environment={"VAULT_NAMESPACE": "team"})
    finished = run.finish(10)
    assert finished.status == 0, finished
    assert "VAULT_NAMESPACE" in finished.output and "team" in finished.output
    assert run.token() is None


def test_an_openssl_whose_configuration_takes_its_algorithms_away_is_named(lab, tmp_path):
    without = tmp_path / "openssl.cnf"
    without.write_text("openssl_conf = init\n[init]\nproviders = all\n[all]\nbase = base\n[base]\nactivate = 1\n")
    for command in (("run",), ("login",), ("credentials",)):
        ended = lab.agent(command=command, environment={"OPENSSL_CONF": str(without)}).finish(20)
        assert ended.status == 78, ended.log
        assert "OpenSSL offers no SHA-256, HMAC, AES-256-GCM" in ended.log
