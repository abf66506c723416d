"""`doctor --unit`: the checks as the service would see them, made by a real systemd; what is in use stays as it is."""

import json

from conftest import CONFIGURATION, TOKEN, Service, Services


def examine(service: Service, *arguments: str) -> tuple[int, dict[str, list[dict]]]:
    done = service.machine.run("vault-token-agent", "doctor", "--unit", service.machine.unit, "--json", *arguments)
    found: dict[str, list[dict]] = {}
    for finding in json.loads(done.output)["findings"]:
        found.setdefault(finding["subject"], []).append(finding)
    left = [*(service.machine.root / "run/systemd/system").glob("vault-token-agent-doctor*")]
    assert left == [] and not list((service.machine.root / "run").glob("vault-token-agent-doctor*"))
    return done.status, found


def test_before_the_first_start_and_beside_the_running_service(calm: Service):
    machine = calm.machine
    user = machine.run("id", "--user", "vault-token-agent").output.strip()
    status, found = examine(calm)
    assert status == 0, found
    assert found["user"][0]["text"] == f"uid {user}"
    assert found["state_directory"][0]["verdict"] == found["sink"][0]["verdict"] == found["login"][0]["verdict"] == "ok"

    calm.start()
    token = calm.token()
    before = machine.show("MainPID", "NRestarts", "ActiveState")
    assert examine(calm, "--no-login")[0] == 0
    assert machine.show("MainPID", "NRestarts", "ActiveState") == before
    assert calm.token() == token and calm.is_valid(token)
    assert machine.run("vault-token-agent", "healthcheck").ok


def test_the_sandbox_is_seen_which_root_outside_does_not_see(calm: Service):
    calm.configuration["tokens"][0]["sinks"] = [{"type": "file", "path": "/etc/token"}]
    calm.configure()
    outside = calm.machine.run("vault-token-agent", "doctor", "--no-login", "--json", "--config", CONFIGURATION)
    sinks = [each for each in json.loads(outside.output)["findings"] if each["subject"] == "sink"]
    assert [each["verdict"] for each in sinks] == ["ok"]
    status, found = examine(calm, "--no-login")
    assert status == 1 and found["sink"][0]["verdict"] == "failed"
    assert "read-only" in found["sink"][0]["text"].lower(), found["sink"]


def test_an_instance_of_the_template_keeps_its_name(services: Services):
    service = services(unit="vault-token-agent@.service")
    service.machine.unit = "vault-token-agent@app.service"
    service.configuration["tokens"][0]["sinks"][0]["path"] = TOKEN.replace("/token", "/app/token")
    service.machine.write("/etc/vault-token-agent/app.json", json.dumps(service.configuration))
    status, found = examine(service, "--no-login")
    assert status == 0, found
    assert found["configuration"][0]["text"].startswith("/etc/vault-token-agent/app.json")


def test_what_is_no_unit_of_the_agents_is_said(calm: Service):
    for name, words in (("no-such.service", "systemctl cat"), ("a/b", "is not the name of a service")):
        done = calm.machine.run("vault-token-agent", "doctor", "--unit", name)
        assert done.status != 0 and words in done.output, done.output
    foreign = calm.machine.run(
        "sh", "-c", "printf '[Service]\\nExecStart=/bin/true\\n' >/run/systemd/system/other.service"
    )
    assert foreign.ok
    done = calm.machine.run("vault-token-agent", "doctor", "--unit", "other")
    assert done.status == 78 and "its ExecStart has no 'run'" in done.output, done.output
