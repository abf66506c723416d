"""The agent at work, with everything it can do at once. For builds with a sanitizer: `make sanitize`."""

import base64
import http.client
import json
import os
import random
import signal
import socket
import time

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from laboratory.agent import Reader, run_once
from laboratory.faults import Fault
from laboratory.processes import SLOWER, free_port, wait_until

SECONDS = float(os.environ.get("AT_WORK_SECONDS", "60"))
# Variables for the agent alone: what the sanitizer is told.
OPTIONS = json.loads(os.environ.get("SANITIZER", "{}"))


def everything(lab, folder, address: str, port: int, *, second: bool) -> dict:
    """A token in sinks of all kinds; beside it, or not, one whose login is wrapped and whose old token is revoked."""
    configuration = lab.configuration(folder, role="at-work", address=address)
    token = configuration["tokens"][0]
    command = {"command": ["/bin/sh", "-c", "echo done"]}
    token["on_change"] = command
    token["sinks"] += [
        {"type": "file", "path": str(folder / "document"), "format": "json", "on_change": command},
        {"type": "file", "path": str(folder / "child"), "policies": ["reader"]},
        {"type": "file", "path": str(folder / "wrapped"), "wrap_ttl": "10s"},
        {
            "type": "file",
            "path": str(folder / "encrypted"),
            "dh_type": "curve25519",
            "dh_path": str(folder / "reader.json"),
            "aad": "at work",
        },
        {"type": "socket", "path": str(folder / "socket"), "mode": "0600"},
    ]
    if second:
        other = {
            "name": "other",
            "auth": token["auth"] | {"wrap_ttl": "30s"},
            "renewal": {"replaced_token": "revoke", "revoke_grace": "1s"},
            "sinks": [{"type": "file", "path": str(folder / "other")}],
        }
        configuration["tokens"].append(other)
    return configuration | {
        "state_directory": str(folder),
        "metrics": {"listen": f"127.0.0.1:{port}", "textfile": str(folder / "metrics.prom")},
    }


def read_socket(path) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5 * SLOWER)
        client.connect(str(path))
        return client.makefile().read()


def get(port: int, page: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10 * SLOWER)
    connection.request("GET", page)
    reply = connection.getresponse()
    reply.read()
    return reply.status


def test_the_agent_at_work_does_nothing_that_a_sanitizer_tells_of(lab, tmp_path):
    for name, text in {
        "children": 'path "auth/token/create" { capabilities = ["create", "update"] }',
        "reader": 'path "secret/*" { capabilities = ["read"] }',
    }.items():
        lab.bao.expect("PUT", f"sys/policies/acl/{name}", {"policy": text})
    lab.role("at-work", ttl="8s", max_ttl="24s", policies=["children", "reader"])
    public = X25519PrivateKey.generate().public_key().public_bytes_raw()
    (tmp_path / "reader.json").write_text(json.dumps({"curve25519_public_key": base64.b64encode(public).decode()}))
    chance, proxy, port = random.Random(20261128), lab.fault_proxy(), free_port()

    def configuration(second: bool) -> dict:
        return everything(lab, tmp_path, proxy.url, port, second=second)

    run = lab.agent(folder=tmp_path, configuration=configuration(True), environment=OPTIONS)
    run.wait_for_token(30)
    reader = Reader(run, lab.bao.remaining)
    reader.start()
    ends, turns = time.monotonic() + SECONDS, 0
    while time.monotonic() < ends:
        turns += 1
        reloaded = run.log.count("New configuration in force")
        run.configuration.write_text(json.dumps(configuration(turns % 2 == 0)))
        run.child.signal(signal.SIGHUP)
        wait_until(lambda n=reloaded: run.log.count("New configuration in force") > n, 10, "the reload")
        wait_until(lambda: read_socket(tmp_path / "socket") == run.token(), 10, "the same token in file and socket")
        assert get(port, "/metrics") == 200
        assert run_once(["status", "--config", run.configuration], OPTIONS).output
        run.child.signal(signal.SIGUSR1)
        proxy.set(chance.choice([Fault.REFUSE, Fault.UNAVAILABLE, Fault.BROKEN_JSON, Fault.HALF]))
        time.sleep(chance.uniform(0.1, 1))
        proxy.set(Fault.NONE)
        time.sleep(chance.uniform(1, 4))
    polls = reader.end()
    wait_until(lambda: run.status_file.get("ready"), 30, "all tokens fresh")
    finished = run.stop(20)

    invalid = [poll for poll in polls if not poll.valid]
    assert not invalid, f"{len(invalid)} of {len(polls)} polls found no valid token, the first {invalid[0]}"
    assert len({poll.token for poll in polls}) > 1 and turns > SECONDS / 20
    assert finished.status == 0, finished.log
