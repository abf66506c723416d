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
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from laboratory.agent import AgentRun, run_once
from laboratory.faults import Fault
from laboratory.laboratory import Laboratory
from laboratory.processes import free_port, wait_until


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


def test_page_and_file_tell_prometheus_the_same(lab: Laboratory, tmp_path: Path):
    port, file = free_port(), tmp_path / "metrics.prom"
    run = start(lab, tmp_path, {"listen": f"127.0.0.1:{port}", "textfile": str(file)})
    run.wait_for_token(20)
    wait_until(lambda: get(port, "/readyz")[0] == 200, 10, "ready")
    wait_until(file.exists, 10, "written")
    wait_until(lambda: 'sink_writes_total{token="app"} 1' in file.read_text(), 10, "written to the file")
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
    wait_until(address.exists, 10, "listening")
    wait_until(lambda: "vault_unreachable" in get(address, "/readyz")[1], 10, "failing")
    assert get(address, "/readyz")[0] == 503
    assert get(address, "/healthz")[0] == 200
    status_file = tmp_path / "status.json"
    wait_until(status_file.exists, 10, "told")
    assert run_once(["healthcheck", "--liveness", "--status-file", status_file], {}).status == 0
    assert run_once(["healthcheck", "--status-file", status_file], {}).status == 1
    proxy.set(Fault.NONE)
    wait_until(lambda: get(address, "/readyz")[0] == 200, 30, "ready")
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
    done = run_once(["reload", "--config", run.configuration], {})
    assert done.status == 0, done.log
    # Whoever is told that the reload is done finds what it moved.
    assert get(second, "/healthz")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        get(first, "/healthz")
    wait_until(file.exists, 10, "written")


def test_a_port_that_is_taken_keeps_no_token_from_anyone_and_is_had_once_it_is_free(lab: Laboratory, tmp_path: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        run = start(lab, tmp_path, {"listen": f"127.0.0.1:{port}"})
        run.wait_for_token(20)
        assert "Address already in use" in run.wait_for_log("Metrics and probes are not served", 5)
        status = tmp_path / "status.json"
        wait_until(lambda: run_once(["healthcheck", "--status-file", status], {}).status == 0, 10, "healthy")
        shown = run_once(["status", "--status-file", status], {}).output
        assert f"Nobody can ask for metrics and probes at 127.0.0.1:{port} since" in shown
    run.wait_for_log("Metrics and probes are served now", 40)
    assert get(port, "/readyz")[0] == 200
    wait_until(lambda: "Nobody can ask" not in run_once(["status", "--status-file", status], {}).output, 10, "told")


def test_probes_and_metrics_apart_and_a_token_by_its_name(lab: Laboratory, tmp_path: Path):
    port, address = free_port(), tmp_path / "probes.sock"
    configuration = lab.configuration(tmp_path) | {
        "metrics": {"listen": f"127.0.0.1:{port}"},
        "probes": {"listen": f"unix://{address}"},
    }
    nobody = {"name": "other", "auth": configuration["tokens"][0]["auth"] | {"role": "nobody"}}
    nobody["sinks"] = [{"type": "file", "path": str(tmp_path / "other")}]
    configuration["tokens"].append(nobody)
    run = lab.agent(folder=tmp_path, configuration=configuration)
    run.wait_for_token(20)
    wait_until(lambda: get(address, "/readyz/app")[0] == 200, 10, "ready")
    wait_until(lambda: "(vault_login_refused)" in get(address, "/readyz/other")[1], 10, "refused")
    assert get(address, "/readyz/app")[1].startswith("app: fresh until ")
    assert get(address, "/readyz/other")[0] == get(address, "/readyz")[0] == 503
    assert get(address, "/readyz/third")[0] == get(address, "/metrics")[0] == 404
    assert get(port, "/metrics")[0] == 200
    assert get(port, "/healthz")[0] == get(port, "/readyz/app")[0] == 404


def test_prometheus_reads_what_it_gets_when_it_asks_for_openmetrics(lab: Laboratory, tmp_path: Path):
    port = free_port()
    run = start(lab, tmp_path, {"listen": f"127.0.0.1:{port}"})
    run.wait_for_token(20)
    wait_until(lambda: get(port, "/readyz")[0] == 200, 10, "ready")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    reply = connection.getresponse()
    page = reply.read().decode()
    assert reply.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(page)}
    assert families["vault_token_agent_logins"].type == "counter"
    assert families["vault_token_agent_request_duration_seconds"].type == "histogram"
    assert families["vault_token_agent_logins"].samples[0].value == 1
    if not shutil.which("promtool"):
        return
    # Prometheus' own parser, which wants samples with their time here.
    stamped = "".join(
        line if line.startswith("#") else f"{line.rstrip()} 1700000000\n" for line in page.splitlines(keepends=True)
    )
    (tmp_path / "page").write_text(stamped)
    blocks = ["promtool", "tsdb", "create-blocks-from", "openmetrics", tmp_path / "page", tmp_path / "blocks"]
    parsed = subprocess.run(blocks, capture_output=True, text=True, check=False)
    assert parsed.returncode == 0, parsed.stdout + parsed.stderr
    assert len(list((tmp_path / "blocks").iterdir())) == 1


def test_a_probe_is_answered_while_others_hold_every_connection(lab: Laboratory, tmp_path: Path):
    port = free_port()
    run = start(lab, tmp_path, {"listen": f"127.0.0.1:{port}"})
    run.wait_for_token(20)
    wait_until(lambda: get(port, "/readyz")[0] == 200, 10, "ready")
    holders = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(100)]
    try:
        began = time.monotonic()
        answers = [get(port, "/healthz")[0] for _ in range(20)]
        # One that waited for an idle one's end would take 5 s.
        assert answers == [200] * 20 and time.monotonic() - began < 4
    finally:
        for holder in holders:
            holder.close()


def test_the_heartbeat_goes_on_and_its_end_is_noticed(lab: Laboratory, tmp_path: Path):
    run = start(lab, tmp_path, {})
    run.wait_for_token(20)
    status_file = tmp_path / "status.json"
    check = ["healthcheck", "--status-file", status_file]
    wait_until(lambda: run_once(check, {}).status == 0, 10, "healthy")
    # It stands still, as if for two minutes. Its next beat is due within 30 s of going on.
    run.child.signal(signal.SIGSTOP)
    try:
        stat = Path(f"/proc/{run.child.pid}/stat")
        wait_until(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "T", 5, "standing still")
        long_ago = time.time() - 120
        os.utime(status_file, (long_ago, long_ago))
        checked = run_once(check, {})
    finally:
        run.child.signal(signal.SIGCONT)
    assert checked.status == 1
    assert "no heartbeat for 2m" in checked.output
    wait_until(lambda: run_once(check, {}).status == 0, 35, "alive again")
