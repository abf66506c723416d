"""Alerts and dashboard: understood by Prometheus, and about metrics that the agent has."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
MONITORING = PROJECT / "deploy" / "monitoring"
METRIC = re.compile(r"\bvault_token_agent_([a-z_]+)")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool; where there is apt, make setup gets it"
)


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def metrics_of_the_agent() -> set[str]:
    source = (PROJECT / "Sources" / "ServiceHealth" / "Metrics.swift").read_text()
    families = set(re.findall(r'(?:page\.add|count|addHistogram)\(\s*"([a-z_]+)"', source))
    assert {"token_fresh", "logins_total", "request_duration_seconds"} <= families
    return families | {f"request_duration_seconds_{part}" for part in ("bucket", "sum", "count")}


@needs_promtool
def test_prometheus_accepts_the_rules_and_the_scrape_configuration():
    promtool("check", "rules", MONITORING / "alerts.yaml")
    promtool("check", "config", MONITORING / "prometheus.yaml")


@needs_promtool
def test_each_alert_fires_when_it_should_and_not_before():
    promtool("test", "rules", HERE / "alerts.test.yaml")


@pytest.mark.parametrize("file", ["alerts.yaml", "grafana-dashboard.json"])
def test_only_metrics_that_exist_are_asked_for(file: str):
    named = set(METRIC.findall((MONITORING / file).read_text()))
    assert named
    assert named <= metrics_of_the_agent()


def test_the_dashboard_shows_something_in_each_panel():
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    identifiers = [panel["id"] for panel in dashboard["panels"]]
    assert len(identifiers) == len(set(identifiers))
    assert all(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    assert all(panel["description"] for panel in dashboard["panels"])
