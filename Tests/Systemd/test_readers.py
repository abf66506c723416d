"""Readers that must be told of a new token: a path unit under a real systemd, and what the polkit rule lets through."""

import json

import dukpy
import pytest
from private_systemd import UNITS

READER = "example-consumer.service"
PROGRAM = "#!/bin/sh\nexec sleep infinity\n"


def test_a_path_unit_restarts_the_reader_for_each_new_token_and_not_for_a_renewal(services, tmp_path):
    program = tmp_path / "example-application"
    program.write_text(PROGRAM)
    units = ("example-consumer.service", "example-consumer-token.service", "example-consumer-token.path")
    service = services(
        files=[
            (program, "/usr/local/bin/example-application", "0755"),
            *((UNITS / unit, f"/etc/systemd/system/{unit}", "0644") for unit in units),
        ]
    )
    machine = service.machine
    service.start()
    started = machine.systemctl("start", READER, "example-consumer-token.path")
    assert started.ok, started.output

    def invocation() -> str:
        """Another one for each start."""
        return machine.systemctl("show", "--value", "--property=InvocationID", READER).output

    first = invocation()

    def renewals() -> int:
        (token,) = json.loads(machine.read("/run/vault-token-agent/status.json"))["tokens"]
        return token["counters"]["renewals"]

    token = service.token()
    machine.wait_until(lambda: renewals() >= 1, "renewed", 40)
    assert invocation() == first or service.token() != token  # on a slow machine the maximum may have come meanwhile
    first, token = invocation(), service.token()
    machine.systemctl("kill", "--signal=USR1", machine.unit)
    machine.wait_until(lambda: service.token() != token, "logged in anew", 20)
    machine.wait_until(lambda: invocation() != first, "told the reader", 20)


RULE = (UNITS / "vault-token-agent.rules").read_text()
# polkit's own objects, as far as the rule uses them: a stand-in, since polkit's daemon needs a whole bus. The engine is
# Debian 12's polkit's, Duktape, which knows no newer JavaScript than ECMAScript 5.
HARNESS = """
var rule, polkit = { Result: { YES: "yes" }, addRule: function (given) { rule = given; } };
%s
dukpy.asked.map(function (it) {
    var details = { unit: it[2], verb: it[3] };
    var action = { id: it[1], lookup: function (key) { return details[key]; } };
    return rule(action, { user: it[0] }) || null;
});
"""
AGENT, UNIT, MANAGE = "vault-token-agent", "example-consumer.service", "org.freedesktop.systemd1.manage-units"


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ((AGENT, MANAGE, UNIT, "try-restart"), "yes"),
        ((AGENT, MANAGE, UNIT, "restart"), "yes"),
        ((AGENT, MANAGE, UNIT, "stop"), None),
        ((AGENT, MANAGE, "sshd.service", "restart"), None),
        (("nobody", MANAGE, UNIT, "restart"), None),
        ((AGENT, "org.freedesktop.systemd1.manage-unit-files", UNIT, "restart"), None),
    ],
)
def test_the_polkit_rule_lets_the_agent_restart_one_unit_and_nothing_else(asked: tuple, answer: str | None):
    assert dukpy.evaljs(HARNESS % RULE, asked=[asked]) == [answer]
