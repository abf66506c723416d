"""The simulation finds faults: with each of these in the agent's code, it reports the promise that the fault breaks."""

import re
import subprocess
from pathlib import Path

import pytest
from mutated_simulation import ENVIRONMENT, MUTATIONS, PROJECT, build

# So many seeds at most until one breaks the promise.
SEEDS = 64


@pytest.fixture(scope="module")
def simulation() -> Path:
    return build()


def run(simulation: Path, mutation: int, *arguments: str) -> str:
    done = subprocess.run(
        [simulation, *arguments],
        capture_output=True,
        text=True,
        timeout=1_200,
        env=ENVIRONMENT | {"MUTATION": str(mutation)},
    )
    assert " seeds of " in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_without_a_mutation_every_promise_is_kept(simulation):
    assert "8 seeds of 7 simulated days" in (output := run(simulation, 0, "--seeds", "8"))
    assert "broke a promise" not in output


def test_every_promise_has_a_mutation():
    promises = re.findall(r'case \w+ = "([a-z ]+)"', (PROJECT / "Sources/SimulatedWorld/Promises.swift").read_text())
    assert len(promises) == 6
    assert {mutation.promise for mutation in MUTATIONS} == set(promises)


@pytest.mark.parametrize("number", range(1, len(MUTATIONS) + 1), ids=[m.name.replace(" ", "-") for m in MUTATIONS])
def test_a_mutation_is_found(simulation, number):
    mutation = MUTATIONS[number - 1]
    for first in dict.fromkeys((mutation.seed, 1)):
        seeds = 1 if first > 1 else SEEDS
        output = run(simulation, number, "--first", str(first), "--seeds", str(seeds), "--until", mutation.promise)
        if f"broke a promise, {mutation.promise}:" in output:
            return
    pytest.fail(f"{SEEDS} seeds do not find it:\n{output}")
