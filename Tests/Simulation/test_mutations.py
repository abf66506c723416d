"""The simulation finds faults: with each of these put into the agent's code, it reports a broken promise."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
# Kept between runs: what has not changed is not compiled again.
WORKSHOP = PROJECT / ".build" / "mutations"
SEEDS = 24
ENVIRONMENT = os.environ | {
    "PATH": os.environ["PATH"] + ":/opt/swift/usr/bin",
    "SWIFT_BACKTRACE": "enable=no",
}


@dataclass(frozen=True)
class Mutation:
    name: str
    # The promise that this breaks. Others may break with it.
    promise: str
    file: str
    text: str
    replacement: str


MUTATIONS = [
    Mutation(
        "renewal is due too late",
        "fresh",
        "TokenLifecycle/Pace.swift",
        "(least: 0.35, most: 0.45)",
        "(least: 0.05, most: 0.1)",
    ),
    Mutation(
        "retries take a hundred times as long",
        "fresh",
        "TokenLifecycle/TokenLifecycle+Answers.swift",
        "retryAt = flight.startedAt + delay(at: now)",
        "retryAt = flight.startedAt + delay(at: now) * 100",
    ),
    Mutation(
        "a failure empties the sinks",
        "never worse",
        "TokenLifecycle/TokenLifecycle+Answers.swift",
        "        switch flight.request {\n        case .logIn(let withNewCredentials):",
        "        effects.append(.withdraw)\n"
        "        switch flight.request {\n        case .logIn(let withNewCredentials):",
    ),
    Mutation(
        "Retry-After is not heeded",
        "never a storm",
        "TokenLifecycle/TokenLifecycle+Schedule.swift",
        "let floor = max(budget.earliest(fullLease: pacingLease), quietUntil)",
        "let floor = budget.earliest(fullLease: pacingLease)",
    ),
    Mutation(
        "nothing is reported",
        "never silent",
        "AgentRuntime/Agent.swift",
        "        surroundings.reporter.report(health, at: now, beat: beat)\n",
        "",
    ),
    Mutation(
        "a token that is lost is said to be fresh",
        "never silent",
        "TokenLifecycle/TokenLifecycle.swift",
        "case .lacking: .lost",
        "case .lacking: .fresh",
    ),
    Mutation(
        "a lease counts from the answer",
        "never late",
        "AgentRuntime/TokenKeeper.swift",
        "sentAt: grant.sentAt, duration: grant.leaseDuration",
        "sentAt: timekeeper.now, duration: grant.leaseDuration",
    ),
]


def compile_workshop() -> Path:
    command = [
        "swift", "build", "--package-path", str(WORKSHOP), "--product", "simulation",
        "--disable-automatic-resolution", "-j", "2",
    ]  # fmt: skip
    built = subprocess.run(command, capture_output=True, text=True, timeout=400, env=ENVIRONMENT)
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-1000:]
    return WORKSHOP / ".build" / "debug" / "simulation"


def broken_promises(simulation: Path) -> set[str]:
    run = subprocess.run(
        [simulation, "--seeds", str(SEEDS)], capture_output=True, text=True, timeout=200, env=ENVIRONMENT
    )
    assert f"{SEEDS} seeds of" in run.stdout, run.stdout[-2000:] + run.stderr[-2000:]
    return set(re.findall(r"broke a promise, ([a-z ]+):", run.stdout))


@pytest.fixture(scope="module")
def workshop():
    """A copy of the sources that holds, compiled, its dependencies taken from the project's own build."""
    sources = WORKSHOP / "Sources"
    scratch = WORKSHOP / ".build"
    scratch.mkdir(parents=True, exist_ok=True)
    for name in ("Package.swift", "Package.resolved"):
        shutil.copy2(PROJECT / name, WORKSHOP / name)
    if not (WORKSHOP / "Tests").exists():
        (WORKSHOP / "Tests").symlink_to(PROJECT / "Tests")
    for name in ("checkouts", "repositories"):
        if not (scratch / name).exists():
            shutil.copytree(PROJECT / ".build" / name, scratch / name, symlinks=True)
    shutil.copy2(PROJECT / ".build" / "workspace-state.json", scratch / "workspace-state.json")
    shutil.rmtree(sources, ignore_errors=True)
    shutil.copytree(PROJECT / "Sources", sources)  # copy2: times are kept
    return sources


@pytest.fixture(scope="module")
def sound_promises(workshop):
    return broken_promises(compile_workshop())


def test_the_agent_as_it_is_keeps_its_promises(sound_promises):
    assert sound_promises == set()


def test_every_promise_has_a_mutation():
    promises = re.findall(r'case \w+ = "([a-z ]+)"', (PROJECT / "Sources/SimulatedWorld/Promises.swift").read_text())
    assert len(promises) == 5
    assert {mutation.promise for mutation in MUTATIONS} == set(promises)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name.replace(" ", "-"))
def test_a_mutation_is_found(workshop, sound_promises, mutation):
    path = workshop / mutation.file
    original = path.read_text()
    assert original.count(mutation.text) >= 1, f"{mutation.file} does not hold the text any more"
    path.write_text(original.replace(mutation.text, mutation.replacement))
    try:
        assert mutation.promise in broken_promises(compile_workshop())
    finally:
        path.write_text(original)
