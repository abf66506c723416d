"""The shipped unit, unmodified, under a real systemd: start, status, reload, stop, consumers, what is locked away."""

import copy
import json
import re
import stat
import time
from pathlib import Path

import pytest
from conftest import CONFIGURATION, READERS, TOKEN, Service, Services
from private_systemd import UNITS

from laboratory.faults import Fault
from laboratory.laboratory import Laboratory
from laboratory.processes import SLOWER


def test_start_ends_when_the_token_is_in_the_file(calm: Service):
    machine = calm.machine
    calm.start()
    token = calm.token()
    assert calm.is_valid(token)
    state = machine.show("ActiveState", "StatusText", "Type", "NotifyAccess", "WatchdogUSec")
    assert state["ActiveState"] == "active"
    assert re.fullmatch(r"app: fresh until [\d :-]+Z, (renews|looks up) at [\d :-]+Z", state["StatusText"])
    assert (state["Type"], state["NotifyAccess"], state["WatchdogUSec"]) == ("notify", "main", "1min")
    file = (machine.root / TOKEN.lstrip("/")).stat()
    assert stat.S_IMODE(file.st_mode) == 0o640
    assert machine.run("stat", "--format=%U:%G", TOKEN).output.strip() == f"vault-token-agent:{READERS}"
    # Whoever is in the readers' group reads it, nobody else does.
    read = ["setpriv", "--reuid=nobody", "--clear-groups", "--regid=nogroup", "cat", TOKEN]
    assert not machine.run(*read).ok
    read[2:3] = [f"--groups={READERS}"]
    assert machine.run(*read).output == token


def test_status_and_healthcheck_answer_anyone(calm: Service):
    machine = calm.machine
    assert machine.run("vault-token-agent", "healthcheck").status == 1
    calm.start()
    nobody = ["setpriv", "--reuid=nobody", "--clear-groups", "--regid=nogroup"]
    assert machine.run(*nobody, "vault-token-agent", "healthcheck").ok
    table = machine.run(*nobody, "vault-token-agent", "status").output
    assert re.search(r"^app +fresh +.*(renew|look up) .* 1/1$", table, re.MULTILINE), table
    machine.systemctl("stop", machine.unit)
    assert machine.run("vault-token-agent", "healthcheck").status == 1


def test_the_journal_can_be_asked_by_token_and_by_code(services: Services, lab: Laboratory):
    proxy = lab.fault_proxy()
    service = services(vault={"address": proxy.url})
    proxy.set(Fault.REFUSE)
    machine = service.machine
    start = machine.begin("start", machine.unit)
    machine.wait_until(lambda: "(vault_unreachable)" in machine.status_text(), "waiting for Vault", 20)
    lines = machine.run("journalctl", "--output=json", "TOKEN_NAME=app", "ERROR_CODE=vault_unreachable").output
    record = json.loads(lines.splitlines()[0])
    assert record["SYSLOG_IDENTIFIER"] == "vault-token-agent"
    assert record["_TRANSPORT"] == "journal"
    assert int(record["PRIORITY"]) in (3, 4)
    assert record["REMEDY"]
    assert record["MESSAGE"].startswith(record["EVENT"])
    proxy.set(Fault.NONE)
    assert start.wait(60).ok
    # Nothing but the agent's own records: no line of a library on its standard error.
    transports = machine.run("journalctl", "--output=json", f"--unit={machine.unit}", "_COMM=vault-token-age").output
    assert {json.loads(line)["_TRANSPORT"] for line in transports.splitlines()} == {"journal"}


def test_what_a_restart_goes_by_names_this_boot(calm: Service):
    calm.start()
    record = calm.machine.root / "var/lib/vault-token-agent/takeover-app"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    # Its heading; without a name the calendar would count, which somebody may set.
    assert f" {boot}/" in record.read_text().splitlines()[0]


def test_a_good_reload_keeps_the_token_and_writes_the_new_sink(calm: Service):
    machine = calm.machine
    calm.start()
    token, logins = calm.token(), calm.lab.logins()
    tokens = copy.deepcopy(calm.configuration["tokens"])
    tokens[0]["sinks"].append({"type": "file", "path": "/run/vault-token-agent/second", "mode": "0600"})
    calm.configure(tokens=tokens)
    assert machine.systemctl("reload", machine.unit).ok
    machine.wait_until((machine.root / "run/vault-token-agent/second").exists, "written", 10)
    assert machine.read("/run/vault-token-agent/second") == calm.token() == token
    assert calm.lab.logins() == logins
    assert machine.show("ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "0"}


def test_a_bad_reload_fails_with_the_reason_and_changes_nothing(calm: Service):
    machine = calm.machine
    calm.start()
    token, process = calm.token(), machine.show("MainPID")
    good = machine.read(CONFIGURATION)
    machine.write(CONFIGURATION, good.replace('"role"', '"rôle"'))
    assert not machine.systemctl("reload", machine.unit).ok
    machine.wait_until(lambda: "new configuration refused" in machine.status_text(), "refused", 10)
    assert "app: fresh until" in machine.status_text()
    assert machine.show("ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "0"}
    assert machine.show("MainPID") == process
    assert machine.run("journalctl", "--output=cat", "ERROR_CODE=configuration_invalid").output.count("refused") == 1
    assert calm.token() == token
    machine.write(CONFIGURATION, good)
    assert machine.systemctl("reload", machine.unit).ok
    machine.wait_until(lambda: machine.status_text().startswith("app: fresh until"), "accepted", 10)


def test_a_token_that_leaves_the_configuration_leaves_the_agent(calm: Service):
    machine = calm.machine
    tokens = calm.configuration["tokens"]
    other = copy.deepcopy(tokens[0])
    other["name"], other["sinks"][0]["path"] = "other", "/run/vault-token-agent/other"
    calm.configure(tokens=[*tokens, other])
    calm.start()
    assert "other: fresh" in machine.status_text()
    calm.configure(tokens=tokens)
    assert machine.systemctl("reload", machine.unit).ok
    machine.wait_until(lambda: "other" not in machine.status_text(), "dropped", 10)
    assert machine.status_text().startswith("app: fresh")


def test_sigusr1_logs_in_anew_at_once(calm: Service):
    machine = calm.machine
    calm.start()
    token = calm.token()
    assert machine.systemctl("kill", "--signal=SIGUSR1", "--kill-whom=main", machine.unit).ok
    machine.wait_until(lambda: calm.token() != token, "replaced", 20)
    assert calm.is_valid(calm.token())


@pytest.mark.parametrize("fault", [Fault.NONE, Fault.BLACK_HOLE], ids=["idle", "a login under way"])
def test_stop_takes_less_than_five_seconds(services: Services, lab: Laboratory, fault: Fault):
    proxy = lab.fault_proxy()
    service = services(vault={"address": proxy.url})
    machine = service.machine
    proxy.set(fault)
    if fault is Fault.NONE:
        service.start()
    else:
        machine.begin("start", machine.unit)
        machine.wait_until(lambda: machine.show("StatusText")["StatusText"] != "", "waiting for its login", 20)
        time.sleep(1)
    began = time.monotonic()
    assert machine.systemctl("stop", machine.unit).ok
    assert time.monotonic() - began < 5 * SLOWER
    assert "Deactivated successfully" in machine.journal()


def test_a_configuration_that_cannot_work_is_not_tried_again(services: Services):
    service = services(vault={"address": "vault.example.com"})
    machine = service.machine
    assert not machine.systemctl("start", machine.unit).ok
    time.sleep(6)  # RestartSec=5
    state = machine.show("ActiveState", "Result", "ExecMainStatus", "NRestarts")
    assert state == {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "78", "NRestarts": "0"}
    assert "$.vault.address" in machine.journal() or "vault.address" in machine.journal()
    assert not (machine.root / TOKEN.lstrip("/")).exists()


def test_a_consumer_gets_the_token_as_a_credential(services: Services, tmp_path: Path):
    # Stands for an application: says what it was given, hashed, so that the journal stays free of tokens.
    application = tmp_path / "example-application"
    application.write_text('#!/bin/sh\nsha256sum <"$2" | cut -c1-64\nid -Gn\nexec sleep 60\n')
    consumer = UNITS / "example-consumer.service"
    service = services(
        files=[
            (application, "/usr/local/bin/example-application", "0755"),
            (consumer, f"/etc/systemd/system/{consumer.name}", "0644"),
        ]
    )
    machine = service.machine
    # It pulls the agent in and waits for it: one command brings both up, in this order.
    started = machine.systemctl("start", consumer.name)
    assert started.ok, started.output
    assert machine.show("ActiveState")["ActiveState"] == "active"
    expected = machine.run("sh", "-c", f"sha256sum <{TOKEN}").output[:64]
    said = lambda: machine.run("journalctl", "--output=cat", f"--unit={consumer.name}").output  # noqa: E731
    machine.wait_until(lambda: expected in said(), "given to the application", 10)
    assert READERS not in said()


def test_secrets_of_the_configuration_come_from_the_credential_store(
    services: Services, tls_lab: Laboratory, lab: Laboratory
):
    certificates = tls_lab.certificates
    credentials = "$CREDENTIALS_DIRECTORY/vault-token-agent.client-key"
    service = services(
        tls_lab,
        vault={
            "address": tls_lab.tls_url,
            "tls": {
                "ca_cert": "/etc/vault-token-agent/ca.pem",
                "client_cert": "/etc/vault-token-agent/client.pem",
                "client_key": credentials,
            },
        },
        files=[
            (certificates.authority, "/etc/vault-token-agent/ca.pem", "0644"),
            (certificates.client.certificate, "/etc/vault-token-agent/client.pem", "0644"),
            (certificates.client.key, "/etc/credstore/vault-token-agent.client-key", "0600"),
        ],
    )
    service.start()
    assert service.is_valid(service.token())
    # ExecReload= is a process of its own: it must find the agent by the same configuration.
    reloaded = service.machine.systemctl("reload", service.machine.unit)
    assert reloaded.ok, service.machine.journal()


def test_the_template_keeps_instances_apart(services: Services):
    service = services(unit="vault-token-agent@.service")
    machine = service.machine
    text = machine.read("/etc/vault-token-agent/app.json").replace(TOKEN, "/run/vault-token-agent/app/token")
    machine.write("/etc/vault-token-agent/app.json", text)
    started = machine.systemctl("start", "vault-token-agent@app.service")
    assert started.ok, machine.run("journalctl", "--output=cat", "-n", "30").output
    assert service.is_valid(machine.read("/run/vault-token-agent/app/token"))
    assert (machine.root / "run/vault-token-agent/app/status.json").exists()
    assert (machine.root / "var/lib/vault-token-agent/app").is_dir()
    assert machine.run("vault-token-agent", "healthcheck", "--status-file", "/run/vault-token-agent/app/status.json").ok


def test_a_dynamic_user_does_as_well(services: Services):
    service = services(dropins=[UNITS / "dynamic-user.conf"])
    service.start()
    assert service.machine.show("DynamicUser")["DynamicUser"] == "yes"
    assert service.is_valid(service.token())
    assert service.machine.run("stat", "--format=%G", TOKEN).output.strip() == READERS


# As `systemctl show` spells what the unit's file says.
LOCKED = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "PrivateMounts": "yes",
    "DevicePolicy": "closed",
    "ProtectClock": "yes",
    "ProtectControlGroups": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectProc": "invisible",
    "ProcSubset": "pid",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "RemoveIPC": "yes",
    "KeyringMode": "private",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "LimitCORE": "0",
    "SystemCallArchitectures": "native",
    "User": "vault-token-agent",
}


def test_every_lock_is_on_while_it_works(calm: Service):
    machine = calm.machine
    calm.start()
    assert machine.show(*LOCKED) == LOCKED
    assert set(machine.show("RestrictAddressFamilies")["RestrictAddressFamilies"].split()) == {
        "AF_INET", "AF_INET6", "AF_UNIX",
    }  # fmt: skip
    number = machine.process()
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{number}/status").read_text().splitlines() if ":\t" in line
    )
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {0}
    assert Path(f"/proc/{number}/limits").read_text().count("Max core file size        0") == 1
    # Hidden from its own user: neither environment nor memory can be read, and a debugger may not attach.
    peek = ["setpriv", "--reuid=vault-token-agent", "--regid=vault-token-agent", "--clear-groups", "cat"]
    assert not machine.run(*peek, f"/proc/{machine.show('MainPID')['MainPID']}/environ").ok


def test_systemd_verifies_the_unit_where_it_is_installed(calm: Service):
    verified = calm.machine.run("systemd-analyze", "verify", "--man=no", f"/etc/systemd/system/{calm.machine.unit}")
    assert verified.ok, verified.output
    assert verified.output == ""
