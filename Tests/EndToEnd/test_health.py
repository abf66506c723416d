"""What a running agent tells machines: metrics as page and file, probes, the heartbeat."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from laboratory.agent import AgentRun, run_once
from laboratory.faults import Fault
from laboratory.laboratory import Laboratory
from laboratory.processes import SLOWER, free_port


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path):
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(self._path))


def get(place: int | Path, page: str) -> tuple[int, str]:
    if isinstance(place, Path):
        connection: http.client.HTTPConnection = UnixConnection(place)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", place, timeout=10)
    connection.request("GET", page)
    reply = connection.getresponse()
    return reply.status, reply.read().decode()


def start(lab: Laboratory, folder: Path, metrics: dict, address: str | None = None) -> AgentRun:
    configuration = lab.configuration(folder, address=address) | {"metrics": metrics}
    return lab.agent(folder=folder, configuration=configuration)


def wait_until(true, what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds * SLOWER
    while not true():
        assert time.monotonic() < deadline, f"not {what} within {seconds * SLOWER:g} s"
        time.sleep(0.1)


def test_page_and_file_tell_prometheus_the_same(lab: Laboratory, tmp_path: Path):
    port, file = free_port(), tmp_path / "metrics.prom"
    run = start(lab, tmp_path, {"listen": f"127.0.0.1:{port}", "textfile": str(file)})
    run.wait_for_token(20)
    wait_until(lambda: get(port, "/readyz")[0] == 200, "ready", 10)
    wait_until(lambda: 'sink_writes_total{token="app"} 1' in file.read_text(), "written to the file", 10)
    status, page = get(port, "/metrics")
    assert status == 200
    for sample in (
        'vault_token_agent_token_fresh{token="app"} 1',
        'vault_token_agent_logins_total{token="app"} 1',
        'vault_token_agent_request_duration_seconds_count{operation="login"} 1',
        'vault_token_agent_request_duration_seconds_count{operation="aws_credentials"} 1',
    ):
        assert sample in page.splitlines()
        assert sample in file.read_text().splitlines()
    assert get(port, "/healthz") == (200, "ok\n")
    if shutil.which("promtool"):
        checked = subprocess.run(
            ["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_probes_tell_a_lost_vault_from_a_lost_agent(lab: Laboratory, tmp_path: Path):
    proxy = lab.fault_proxy()
    proxy.set(Fault.REFUSE)
    address = tmp_path / "health.sock"
    run = start(lab, tmp_path, {"listen": f"unix://{address}"}, address=proxy.url)
    wait_until(address.exists, "listening", 10)
    wait_until(lambda: "vault_unreachable" in get(address, "/readyz")[1], "failing", 10)
    assert get(address, "/readyz")[0] == 503
    assert get(address, "/healthz")[0] == 200
    status_file = tmp_path / "status.json"
    assert run_once(["healthcheck", "--liveness", "--status-file", status_file], {}).status == 0
    assert run_once(["healthcheck", "--status-file", status_file], {}).status == 1
    proxy.set(Fault.NONE)
    wait_until(lambda: get(address, "/readyz")[0] == 200, "ready", 30)
    run.stop()
    assert not address.exists()
    assert run_once(["healthcheck", "--liveness", "--status-file", status_file], {}).status == 1


def test_a_reload_moves_what_is_served_and_written(lab: Laboratory, tmp_path: Path):
    first, second, file = free_port(), free_port(), tmp_path / "moved.prom"
    run = start(lab, tmp_path, {"listen": f"127.0.0.1:{first}"})
    run.wait_for_token(20)
    text = run.configuration.read_text()
    moved = text.replace(f'"127.0.0.1:{first}"', f'"127.0.0.1:{second}", "textfile": "{file}"')
    assert moved != text
    run.configuration.write_text(moved)
    run.child.signal(signal.SIGHUP)
    run.wait_for_log("New configuration in force", 10)
    assert get(second, "/healthz")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        get(first, "/healthz")
    wait_until(file.exists, "written", 10)


def test_a_port_that_is_taken_keeps_no_token_from_anyone(lab: Laboratory, tmp_path: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        run = start(lab, tmp_path, {"listen": f"127.0.0.1:{other.getsockname()[1]}"})
        run.wait_for_token(20)
        assert "Address already in use" in run.wait_for_log("Metrics and probes are not served", 5)


def test_the_heartbeat_goes_on_and_its_end_is_noticed(lab: Laboratory, tmp_path: Path):
    run = start(lab, tmp_path, {})
    run.wait_for_token(20)
    status_file = tmp_path / "status.json"
    check = ["healthcheck", "--status-file", status_file]
    wait_until(lambda: run_once(check, {}).status == 0, "healthy", 10)
    # It stands still, as if for two minutes. Its next beat is due within 30 s of going on.
    run.child.signal(signal.SIGSTOP)
    try:
        stat = Path(f"/proc/{run.child.pid}/stat")
        wait_until(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "T", "standing still", 5)
        long_ago = time.time() - 120
        os.utime(status_file, (long_ago, long_ago))
        checked = run_once(check, {})
    finally:
        run.child.signal(signal.SIGCONT)
    assert checked.status == 1
    assert "no heartbeat for 2m" in checked.output
    wait_until(lambda: run_once(check, {}).status == 0, "alive again", 35)
