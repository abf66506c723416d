"""A fleet comes back after an outage: a small one here, ten thousand by `make fleet`."""

import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

SIMULATION = Path(__file__).resolve().parents[2] / ".build" / "release" / "simulation"
AGENTS = 30


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    figure = tmp_path_factory.mktemp("fleet") / "fleet.svg"
    output = subprocess.run(
        [SIMULATION, "fleet", "--agents", str(AGENTS), "--figure", figure],
        capture_output=True,
        text=True,
        timeout=1200,
        check=True,
    ).stdout
    rows = {}
    for line in output.splitlines():
        if line.startswith("| ") and "scenario" not in line:
            scenario, kind, *figures = [cell.strip() for cell in line.strip("|").split("|")]
            rows[scenario, kind] = figures
    return rows, figure


def seconds(text: str) -> int:
    minutes, rest = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", text).groups()
    return int(minutes or 0) * 60 + int(rest or 0)


@pytest.mark.parametrize("outage", ["outage of 10 min", "outage of 2 h", "outage of 2 h, 200/s"])
def test_the_last_agent_is_fresh_within_30_s_of_an_outage(fleet, outage):
    rows, _ = fleet
    assert seconds(rows[outage, "this agent"][4]) <= 30


def test_a_patient_fleet_is_back_before_vault_agents(fleet):
    rows, _ = fleet
    patient = rows["outage of 2 h", "this agent, max_backoff 5m"]
    assert 30 < seconds(patient[4]) <= 300
    assert seconds(rows["outage of 2 h", "Vault Agent (model)"][4]) > 120


def test_no_token_is_lost_in_an_outage_shorter_than_its_lease(fleet):
    rows, _ = fleet
    assert rows["outage of 10 min", "this agent"][3] == "100 %"


def test_after_an_outage_the_model_of_vault_agent_asks_twice_for_each_token(fleet):
    rows, _ = fleet
    assert int(rows["outage of 2 h", "Vault Agent (model)"][1]) == 2 * AGENTS


def test_the_figure_has_two_curves_for_each_fleet_in_each_scenario(fleet):
    rows, figure = fleet
    curves = ElementTree.parse(figure).iter("{http://www.w3.org/2000/svg}polyline")
    assert len(rows) == 18
    assert sum(1 for _ in curves) == 2 * len(rows)
