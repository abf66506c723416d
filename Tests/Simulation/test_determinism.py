"""A seed is a whole run: what broke under it once breaks under it again."""

import subprocess
from pathlib import Path

SIMULATION = Path(__file__).resolve().parents[2] / ".build" / "release" / "simulation"


def trace(seed: int) -> str:
    return subprocess.run(
        [SIMULATION, "--seed", str(seed)], capture_output=True, text=True, timeout=480, check=True
    ).stdout


def test_the_same_seed_gives_the_same_trace():
    first = trace(7)
    assert "asks Vault" in first
    assert trace(7) == first


def test_another_seed_gives_another_trace():
    assert trace(7).splitlines()[-1] != trace(8).splitlines()[-1]
