"""The agent's code with a fault in it, chosen when the simulation starts: one build holds all mutations.

usage: mutated_simulation.py; builds it. `make test` does before the tests run, so that the compiler is not beside them.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# Kept between runs: what has not changed is not compiled again.
WORKSHOP = PROJECT / ".build" / "mutations"
ENVIRONMENT = os.environ | {
    "PATH": os.environ["PATH"] + ":/opt/swift/usr/bin",
    "SWIFT_BACKTRACE": "enable=no",
}


@dataclass(frozen=True)
class Edit:
    file: str
    # An expression, or whole statements where it ends with a line's end.
    text: str
    replacement: str
    # What stands right before the text, where that alone does not tell its place.
    after: str = ""

    def put_into(self, source: str, numbers: list[int]) -> str:
        """The source with both, the text and its replacement: the environment tells the simulation which to take."""
        condition = " || ".join(f"mutation == {number}" for number in numbers)
        if self.text.endswith("\n"):
            choice = f"if {condition} {{\n{self.replacement}}} else {{\n{self.text}}}\n"
        else:
            choice = f"({condition} ? {self.replacement} : {self.text})"
        assert source.count(self.after + self.text) == 1, f"{self.file} does not hold the text once: {self.text}"
        return source.replace(self.after + self.text, self.after + choice)


@dataclass(frozen=True)
class Mutation:
    name: str
    # The promise that this breaks. Others may break with it.
    promise: str
    edits: tuple[Edit, ...]
    # A seed that found it when it was written down: the search begins there. Any other may find it, too.
    seed: int = 1


def mutation(
    name: str, promise: str, file: str, text: str, replacement: str, after: str = "", seed: int = 1
) -> Mutation:
    return Mutation(name, promise, (Edit(file, text, replacement, after),), seed)


WAKES = """        for sink in sinks {
            moments += sink.moments
            if let moment = sink.begins(aim(of: sink, at: settledAt)) { moments.append(moment) }
"""
FORGOTTEN_KEEPER = Edit(
    "AgentRuntime/Agent.swift",
    "order.first { running[$0]?.keeper.name == settings.name }",
    "nil",
    after="let known = ",
)

MUTATIONS = [
    mutation(
        "renewal is due too late",
        "fresh",
        "TokenLifecycle/Pace.swift",
        "(least: 0.35, most: 0.45)",
        "(least: 0.05, most: 0.1)",
    ),
    mutation(
        "nothing is ever renewed",
        "fresh",
        "TokenLifecycle/TokenLifecycle+Schedule.swift",
        "lease.canBeRenewed ? renewal : obtaining(line)",
        "lease.canBeRenewed ? nil : obtaining(line)",
        after="guard let due = lease.due, let request = ",
    ),
    mutation(
        "nothing is ever looked up",
        "fresh",
        "TokenLifecycle/TokenLifecycle+Schedule.swift",
        "lookup(of: holding, line)",
        "nil",
        after="let moment = ",
    ),
    mutation(
        "retries take a hundred times as long",
        "fresh",
        "TokenLifecycle/TokenLifecycle+Answers.swift",
        "        lines[index].retryAt = flight.startedAt + delay(line: index, at: now)\n",
        "        lines[index].retryAt = flight.startedAt + delay(line: index, at: now) * 100\n",
    ),
    mutation(
        "nobody hears that a write has ended",
        "fresh",
        "AgentRuntime/TokenKeeper.swift",
        "                return .wrote(id)\n",
        "                return nil\n",
    ),
    mutation(
        "a failure empties the sinks",
        "never worse",
        "TokenLifecycle/TokenLifecycle+Answers.swift",
        "            failed(error, flight, at: now)\n",
        "            effects += sinks.map { .withdraw($0.id) }\n            failed(error, flight, at: now)\n",
    ),
    mutation(
        "a child outlives the revocation of its parent",
        "never worse",
        "TokenLifecycle/TokenLifecycle+Sinks.swift",
        "lines.contains { $0.current?.parent == id && $0.current?.id != id }",
        "false",
        after="} || ",
        seed=19,
    ),
    Mutation(
        "what a record says of a lease is believed",
        "never worse",
        (
            Edit("TokenLifecycle/TokenLifecycle+Reload.swift", "lease.renewable", "false", after="guard "),
            Edit("TokenLifecycle/TokenLine.swift", "isHearsay && lease.canBeRenewed", "false"),
        ),
        seed=20,
    ),
    mutation(
        "Retry-After is not heeded",
        "never a storm",
        "TokenLifecycle/TokenLifecycle+Schedule.swift",
        "quiet.end(for: urgency, deadline: deadline, attempt: attempt)",
        "Instant.distantPast",
    ),
    mutation(
        "a wrap does not heed Retry-After",
        "never a storm",
        "TokenLifecycle/TokenLifecycle+Schedule.swift",
        "max(moment, floor)",
        "(urgency == .wrap ? moment : max(moment, floor))",
        after="at: ",
    ),
    mutation(
        "a window holds 200 requests",
        "never a storm",
        "TokenLifecycle/Pace.swift",
        "20",
        "200",
        after="requestsPerWindow = ",
    ),
    mutation(
        "nothing is reported",
        "never silent",
        "AgentRuntime/Agent+Reporting.swift",
        "        surroundings.reporter.report(health, at: now, beat: beat)\n",
        "",
    ),
    mutation(
        "a token that is lost is said to be fresh",
        "never silent",
        "TokenLifecycle/TokenLifecycle+Health.swift",
        ".lost",
        ".fresh",
        after="line.latest == nil || line.failures == nil ? .starting : ",
    ),
    mutation(
        "a lease counts from the answer",
        "never late",
        "AgentRuntime/TokenKeeper+Requests.swift",
        "grant.sentAt",
        "timekeeper.now",
        after="origin: origin)), sentAt: ",
    ),
    mutation(
        "nothing wakes at the expiry",
        "as told",
        "TokenLifecycle/TokenLifecycle.swift",
        "        moments += lines.compactMap { $0.current.map { validity(of: $0.id) } }\n"
        "        moments += retired.map { validity(of: $0.id) }\n"
        + WAKES
        + "            if let found = sink.found { moments.append(validity(of: found.content.token)) }\n"
        "        }\n",
        WAKES + "        }\n",
        seed=30,
    ),
    mutation(
        "an expired token is not removed",
        "as told",
        "AgentRuntime/TokenKeeper.swift",
        "work.append(.withdraw(id))\n",
        "",
        after="            case .withdraw(let id): ",
    ),
    mutation(
        "a replaced token is not revoked",
        "as told",
        "TokenLifecycle/TokenLifecycle+Sinks.swift",
        "!diesWithItsParent(token)",
        "false",
        after="guard case .revoke(let grace) = policy.replaced, ",
    ),
    mutation(
        "the end never comes",
        "as told",
        "TokenLifecycle/TokenLifecycle+Sinks.swift",
        "        effects.append(.finished)\n",
        "",
    ),
    mutation(
        "SIGUSR1 is dropped",
        "as told",
        "AgentRuntime/TokenKeeper.swift",
        "lifecycle.loginRequested(at: now)",
        "[]",
    ),
    mutation(
        "an outage of Vault is said to be survived longer than it is",
        "never silent",
        "TokenLifecycle/OutageBudget.swift",
        "vault.ifEver",
        "(vault + .seconds(60)).ifEver",
        after="withoutVault: ",
        seed=36,
    ),
    mutation(
        "an outage of Vault is said to end readers before it does",
        "never silent",
        "TokenLifecycle/OutageBudget.swift",
        "end(of: $0, token, at: now)",
        "(end(of: $0, token, at: now) + .seconds(-60))",
        after="let vault = sinks.map { ",
        seed=36,
    ),
    Mutation("a reload forgets the tokens", "as told", (FORGOTTEN_KEEPER,), seed=18),
    Mutation(
        "a reload makes a second keeper of each token",
        "never a storm",
        (
            FORGOTTEN_KEEPER,
            Edit(
                "AgentRuntime/Agent.swift",
                "!named.contains(id)",
                "false",
                after="sorted(by: { $0.key < $1.key }) where ",
            ),
        ),
    ),
]

SWITCH = """// Timekeeping: which mutation is at work.

private import Glibc

package let mutation = unsafe getenv("MUTATION").flatMap { unsafe Int(String(cString: $0)) } ?? 0
"""


def mutated_sources() -> dict[str, str]:
    sources = {
        path.relative_to(PROJECT).as_posix(): path.read_text()
        for path in (PROJECT / "Sources").rglob("*")
        if path.is_file()
    }
    sources["Sources/Timekeeping/Mutation.swift"] = SWITCH
    numbers: dict[Edit, list[int]] = {}
    for number, each in enumerate(MUTATIONS, start=1):
        for edit in each.edits:
            numbers.setdefault(edit, []).append(number)
    for edit, at_work in numbers.items():
        name = f"Sources/{edit.file}"
        sources[name] = edit.put_into(sources[name], at_work)
    return sources


def write_changed(sources: dict[str, str]) -> None:
    for stale in (path for path in (WORKSHOP / "Sources").rglob("*") if path.is_file()):
        if stale.relative_to(WORKSHOP).as_posix() not in sources:
            stale.unlink()
    for name, text in sources.items():
        path = WORKSHOP / name
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def build() -> Path:
    """The simulation with every mutation in it, its dependencies taken from the project's own build."""
    scratch = WORKSHOP / ".build"
    scratch.mkdir(parents=True, exist_ok=True)
    write_changed(mutated_sources())
    for name in ("Package.swift", "Package.resolved"):
        shutil.copy2(PROJECT / name, WORKSHOP / name)
    for name in ("Tests", ".libraries"):
        if not (WORKSHOP / name).exists():
            (WORKSHOP / name).symlink_to(PROJECT / name)
    for name in ("checkouts", "repositories"):
        if not (scratch / name).exists():
            shutil.copytree(PROJECT / ".build" / name, scratch / name, symlinks=True)
    shutil.copy2(PROJECT / ".build" / "workspace-state.json", scratch / "workspace-state.json")
    command = [
        "swift", "build", "--package-path", str(WORKSHOP), "--product", "simulation",
        "--configuration", "release", "--disable-automatic-resolution",
    ]  # fmt: skip
    built = subprocess.run(command, capture_output=True, text=True, timeout=1_200, env=ENVIRONMENT)
    if built.returncode != 0:
        raise RuntimeError(built.stdout[-3000:] + built.stderr[-1000:])
    return scratch / "release" / "simulation"


if __name__ == "__main__":
    print(build())
