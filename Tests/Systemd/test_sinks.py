"""Sinks as systemd itself reads them: a socket as a credential's source, an environment file."""

import time

import pytest
from conftest import TOKEN, Services

from laboratory.faults import Fault
from laboratory.laboratory import Laboratory

SOCKET = "/run/vault-token-agent/token.sock"
ENVIRONMENT = "/run/vault-token-agent/environment"


def consumer(machine, lines: str) -> None:
    """A unit that is started once and leaves what it found in /run/found."""
    unit = machine.root / "etc/systemd/system/consumer.service"
    unit.write_text(f"[Service]\nType=oneshot\nUMask=0077\n{lines}\n")
    assert machine.systemctl("daemon-reload").ok


@pytest.fixture
def sinks() -> list[dict]:
    return [
        {"type": "file", "path": TOKEN},
        {"type": "socket", "path": SOCKET, "mode": "0600"},
        {"type": "file", "path": ENVIRONMENT, "format": "env"},
    ]


def test_a_unit_started_before_there_is_a_token_waits_for_its_credential(
    services: Services, lab: Laboratory, sinks: list[dict]
):
    proxy = lab.fault_proxy()
    service = services(vault={"address": proxy.url})
    token = service.configuration["tokens"][0]
    token["auth"]["role"], token["sinks"] = "calm", sinks
    service.configure()
    machine = service.machine
    consumer(
        machine,
        f"LoadCredential=vault-token:{SOCKET}\nExecStart=/bin/sh -c 'cp $CREDENTIALS_DIRECTORY/vault-token /run/found'",
    )
    proxy.set(Fault.REFUSE)
    agent = machine.begin("start", machine.unit)
    machine.wait_until((machine.root / SOCKET.lstrip("/")).is_socket, "listening", 20)
    reader = machine.begin("start", "consumer.service")
    time.sleep(1)
    assert reader.took is None, reader.outcome
    proxy.set(Fault.NONE)
    assert agent.wait(60).ok
    assert reader.wait(60).ok, machine.run("journalctl", "--no-pager", "--unit=consumer.service").output
    assert machine.read("/run/found") == service.token()
    # From now on it does not wait, and gets what is in the file.
    assert machine.systemctl("start", "consumer.service").ok
    # A stopped agent leaves no socket on which a unit would wait for ever.
    machine.systemctl("stop", machine.unit)
    assert not (machine.root / SOCKET.lstrip("/")).exists()


def test_a_unit_reads_the_environment_file(services: Services, sinks: list[dict]):
    service = services()
    token = service.configuration["tokens"][0]
    token["auth"]["role"], token["sinks"] = "calm", sinks
    service.configure()
    machine = service.machine
    consumer(
        machine, f"EnvironmentFile={ENVIRONMENT}\nExecStart=/bin/sh -c 'echo $$VAULT_TOKEN $$VAULT_ADDR >/run/found'"
    )
    service.start()
    assert machine.systemctl("start", "consumer.service").ok
    assert machine.read("/run/found") == f"{service.token()} {service.configuration['vault']['address']}\n"
