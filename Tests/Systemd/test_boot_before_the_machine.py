"""The shipped unit started before the machine is ready: groups, name service, directories, file systems come late."""

import copy

from conftest import CONFIGURATION, TOKEN, Services


def late(service, **sink: object) -> None:
    """Another token, with a sink that the machine is not ready for."""
    tokens = copy.deepcopy(service.configuration["tokens"][:1])
    other = copy.deepcopy(tokens[0])
    other["name"], other["sinks"] = "late", [{"type": "file", "path": "/run/vault-token-agent/other", **sink}]
    tokens[0]["auth"]["role"] = "calm"
    service.configure(tokens=[*tokens, other])


def waits_for(service, reason: str) -> None:
    """The unit is `activating`, says what is awaited, and the other token is there all the same."""
    machine = service.machine
    machine.wait_until(
        lambda: "late: no token yet, waits for this machine since " in machine.status_text(), "waiting", 20
    )
    assert reason in machine.status_text()
    machine.wait_until(lambda: "app: fresh until " in machine.status_text(), "fresh", 20)
    assert service.is_valid(service.token())
    assert machine.show("ActiveState", "NRestarts") == {"ActiveState": "activating", "NRestarts": "0"}
    shown = machine.run("vault-token-agent", "status").output
    assert reason in shown and "late" in shown


def test_a_group_that_comes_late_is_waited_for(services: Services):
    service = services()
    machine = service.machine
    late(service, group="of-the-directory")
    start = machine.begin("start", machine.unit)
    waits_for(service, "group of-the-directory is unknown on this machine")
    # As from LDAP: the group, with the agent's user in it, which a process learns only when it is started. So the
    # agent ends, and systemd starts it again.
    token, logins = service.token(), service.lab.logins()
    assert machine.run("groupadd", "--users", "vault-token-agent", "of-the-directory").ok
    machine.wait_until(lambda: machine.show("ActiveState")["ActiveState"] == "active", "active", 60)
    assert start.wait(60) is not None
    assert machine.show("NRestarts") == {"NRestarts": "1"}
    assert machine.run("stat", "--format=%G", "/run/vault-token-agent/other").output.strip() == "of-the-directory"
    # The other token was taken over.
    assert service.token() == token or service.lab.logins() > logins
    assert "groups_outdated" in machine.run("journalctl", "--output=verbose", "ERROR_CODE=groups_outdated").output


def test_a_name_service_that_fails_is_asked_again(services: Services):
    service = services()
    machine = service.machine
    service.configuration["tokens"][0]["sinks"][0].pop("group")
    late(service, group="vault-token-readers")
    whole = machine.read("/etc/group")
    machine.write("/etc/group", "".join(line for line in whole.splitlines(True) if "vault-token-readers" not in line))
    start = machine.begin("start", machine.unit)
    waits_for(service, "group vault-token-readers is unknown on this machine")
    machine.write("/etc/group", whole)
    machine.wait_until(lambda: machine.show("ActiveState")["ActiveState"] == "active", "active", 60)
    assert start.wait(60) is not None
    assert service.is_valid(machine.read("/run/vault-token-agent/other"))


def test_a_directory_that_is_made_late_is_waited_for(services: Services):
    service = services()
    machine = service.machine
    late(service, path="/run/vault-token-agent/late/token")
    start = machine.begin("start", machine.unit)
    waits_for(service, "/run/vault-token-agent/late: No such file or directory")
    assert start.took is None
    made = machine.run("install", "-d", "-o", "vault-token-agent", "/run/vault-token-agent/late")
    assert made.ok, made.output
    assert start.wait(60).ok
    assert service.is_valid(machine.read("/run/vault-token-agent/late/token"))
    assert machine.show("ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "0"}


def test_a_file_system_that_is_mounted_late_is_waited_for(services: Services):
    service = services()
    machine = service.machine
    assert machine.run("install", "-d", "-m", "0555", "/run/vault-token-agent/late").ok
    late(service, path="/run/vault-token-agent/late/token")
    start = machine.begin("start", machine.unit)
    waits_for(service, "/run/vault-token-agent/late")
    mounted = machine.run(
        "mount", "-t", "tmpfs", "-o", "mode=0755,uid=vault-token-agent", "tmpfs", "/run/vault-token-agent/late"
    )
    assert mounted.ok, mounted.output
    assert start.wait(60).ok
    assert service.is_valid(machine.run("cat", "/run/vault-token-agent/late/token").output)


def test_what_the_file_itself_says_is_not_waited_for(services: Services):
    service = services()
    machine = service.machine
    late(service, path="/run/vault-token-agent/" + "n" * 256)
    assert not machine.systemctl("start", machine.unit).ok
    state = machine.show("ActiveState", "ExecMainStatus", "NRestarts")
    assert state == {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}
    assert not (machine.root / TOKEN.lstrip("/")).exists() and machine.read(CONFIGURATION)
