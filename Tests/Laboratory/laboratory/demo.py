"""The demonstration: an agent at work in the laboratory, told in plain lines.

`python -m laboratory.demo [--seconds N]`. Without a number it runs until Ctrl-C. With one it ends with status 0 only if
the file held a valid token at every poll from the first token on; validity is asked of OpenBao.
"""

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from .agent import AgentRun, Poll, Reader, agent_binary
from .front_door import Exchange
from .laboratory import Laboratory
from .processes import LaboratoryError

TTL, MAXIMUM = 20, 60
FIRST_TOKEN_WITHIN = 15
REPORT_EVERY = 5

COLOURS = {"good": "32", "bad": "31", "agent": "36", "quiet": "2"}


class Narrator:
    """Writes one line at a time: seconds since the start, who speaks, what happened."""

    def __init__(self, colours: bool):
        self._colours = colours
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def say(self, who: str, what: str, colour: str | None = None) -> None:
        text = f"{time.monotonic() - self._started:6.1f} s  {who:<10} {what}"
        if self._colours and colour:
            text = f"\033[{COLOURS[colour]}m{text}\033[0m"
        with self._lock:
            print(text, flush=True)


class Teller(threading.Thread):
    """Tells what passes between the agent and its surroundings, as it happens."""

    def __init__(self, narrator: Narrator, laboratory: Laboratory, run: AgentRun):
        super().__init__(daemon=True)
        self._say = narrator.say
        self._laboratory = laboratory
        self._run_ = run
        self._ended = threading.Event()
        self._told = {"metadata": 0, "vault": 0}
        self._logins = 0

    def end(self) -> None:
        self._ended.set()
        self.join(5)

    def run(self) -> None:
        while not self._ended.wait(0.05):
            self._tell_metadata()
            self._tell_vault()

    def _tell_metadata(self) -> None:
        asked = self._laboratory.imds.requests
        for line in asked[self._told["metadata"] :]:
            method, path = line.split(" ", 1)
            if method == "PUT":
                what = "asks the instance metadata service for a session (IMDSv2)"
            elif path.endswith("/security-credentials/") or path.endswith("/security-credentials"):
                what = "asks which role this instance has"
            elif "/security-credentials/" in path:
                what = f"takes the credentials of role {path.rpartition('/')[2]}"
            else:
                what = f"asks for {path.rpartition('/')[2]}"
            self._say("discovery", what, "quiet")
        self._told["metadata"] = len(asked)

    def _tell_vault(self) -> None:
        exchanges = self._laboratory.front_door.exchanges
        seen = len(exchanges)
        for each in exchanges[self._told["vault"] : seen]:
            self._tell_exchange(each)
        self._told["vault"] = seen

    def _tell_exchange(self, each: Exchange) -> None:
        ok = each.status == 200
        answer = f": {each.lease} s" if ok and each.lease else "" if ok else f": refused with {each.status}"
        if ok and each.lease is not None and each.lease < TTL:
            answer += f", less than {TTL}: the maximum is near"
        if each.path.endswith("/login"):
            self._logins += 1
            why = "logs in with a signed GetCallerIdentity" if self._logins == 1 else "logs in anew before the maximum"
            self._say("login", f"{why}{answer}", "agent" if ok else "bad")
        elif each.path.endswith("/renew-self"):
            self._say("renewal", f"renews the token{answer}", "agent" if ok else "bad")
        elif each.path.endswith("/lookup-self"):
            self._say("look", f"asks whether the token is still alive{answer}", "quiet" if ok else "bad")
        else:
            self._say("request", f"{each.method} {each.path}{answer}", "quiet")


def describe(poll: Poll | None, run: AgentRun) -> tuple[str, str]:
    """The file and the token in it, in words, and how good that is."""
    if poll is None or poll.token is None:
        return "no file yet", "quiet"
    try:
        age = time.time() - run.sink.stat().st_mtime
    except FileNotFoundError:
        return "the file is gone", "bad"
    if not poll.valid:
        return f"written {age:.0f} s ago; OpenBao does NOT know the token in it", "bad"
    return f"written {age:.0f} s ago; OpenBao says its token is valid for another {poll.remaining:.0f} s", "good"


def watch(run: AgentRun, reader: Reader, narrator: Narrator, seconds: float | None) -> bool:
    """Reports every few seconds until the time is up or Ctrl-C; false: the agent ended by itself, or no token came."""
    started = time.monotonic()
    reported = started
    while seconds is None or time.monotonic() - started < seconds:
        time.sleep(0.1)
        if not run.child.running:
            narrator.say("failure", f"the agent ended with status {run.child.wait(1)}; its log: {run.log_path}", "bad")
            return False
        if reader.first_valid() is None and time.monotonic() - started > FIRST_TOKEN_WITHIN:
            narrator.say("failure", f"no valid token within {FIRST_TOKEN_WITHIN} s", "bad")
            return False
        if time.monotonic() - reported >= REPORT_EVERY:
            reported = time.monotonic()
            narrator.say("the file", *describe(reader.polls[-1] if reader.polls else None, run))
    return True


def verdict(polls: list[Poll], narrator: Narrator) -> bool:
    first = next((at for at, poll in enumerate(polls) if poll.valid), None)
    if first is None:
        narrator.say("verdict", "the file never held a valid token", "bad")
        return False
    after = polls[first:]
    invalid = sum(not poll.valid for poll in after)
    tokens = len({poll.token for poll in after if poll.token})
    lowest = min(poll.remaining for poll in after)
    found = f"{len(after) - invalid} of {len(after)} polls found a valid token"
    narrator.say("verdict", f"{found}; {tokens} tokens; at least {lowest:.0f} s left", "bad" if invalid else "good")
    return not invalid


def demonstrate(seconds: float | None, narrator: Narrator) -> bool:
    narrator.say("laboratory", "starting AWS (moto), instance metadata, OpenBao and the front door for aws logins")
    with Laboratory() as laboratory:
        folder = Path(tempfile.mkdtemp(prefix="agent-", dir=laboratory.folder))
        configuration = laboratory.configuration(folder)
        narrator.say("laboratory", f"ready; role app: tokens live {TTL} s, {MAXIMUM} s at most")
        narrator.say("agent", f"{agent_binary().name} run --config {folder}/agent.json")
        run = laboratory.agent(folder=folder, configuration=configuration)
        reader = Reader(run, laboratory.bao.remaining)
        teller = Teller(narrator, laboratory, run)
        teller.start()
        reader.start()
        try:
            good = watch(run, reader, narrator, seconds)
        except KeyboardInterrupt:
            narrator.say("you", "Ctrl-C: stopping everything")
            good = True
        polls = reader.end()
        good = verdict(polls, narrator) and good
        finished = run.stop()
        teller.end()
        narrator.say("agent", f"stopped with status {finished.status}; no secret in its log ({len(run.log)} bytes)")
        if not good:
            print(run.log, file=sys.stderr)
        return good and finished.status == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="laboratory.demo", description=__doc__)
    parser.add_argument("--seconds", type=float, help="end after so long, with a verdict as exit status")
    seconds = parser.parse_args().seconds
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    narrator = Narrator(colours=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    try:
        return 0 if demonstrate(seconds, narrator) else 1
    except KeyboardInterrupt:
        return 130
    except LaboratoryError as error:
        print(f"the laboratory failed, which says nothing about the agent: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
