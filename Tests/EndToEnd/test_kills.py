"""The promise of the file: an agent killed at any moment leaves a whole token, and its successor no other file."""

import json
import os
import signal
from collections import Counter

import pytest

from laboratory.agent import agent_binary
from laboratory.killer import MOMENTS, Killer
from laboratory.processes import SLOWER

pytestmark = pytest.mark.long(120)

KILLS = 500
LANES = 4


def test_an_agent_killed_at_500_random_moments_leaves_a_whole_token_and_its_successor_no_other_file(lab, tmp_path):
    lab.role("brief", ttl="60s")
    environment = {**lab.environment(), "PATH": os.environ["PATH"], "SWIFT_BACKTRACE": "enable=no"}
    killers = []
    try:
        for lane in range(LANES):
            folder = tmp_path / str(lane)
            folder.mkdir()
            configuration = lab.configuration(folder, role="brief")
            file = folder / "sink" / "token"
            file.parent.mkdir()
            configuration["tokens"][0]["sinks"][0]["path"] = str(file)
            (folder / "agent.json").write_text(json.dumps(configuration))
            command = [agent_binary(), "run", "--config", folder / "agent.json"]
            log = folder / "log"
            killers.append(Killer(command, file, log, kills=KILLS // LANES, seed=lane, environment=environment))
        lanes = [killer.kills(240 * SLOWER) for killer in killers]
    finally:
        for killer in killers:
            killer.end()

    issued = {None: -1} | {token: number for number, token in enumerate(lab.front_door.tokens)}
    for kills in lanes:
        order = [issued[kill.text] for kill in kills]
        assert order == sorted(order), "an older token after a newer one"
        assert not [kill for kill in kills if kill.unswept]
        assert not kills[-1].left
    kills = [kill for lane in lanes for kill in lane]
    assert len(kills) == KILLS
    hit = Counter(kill.moment for kill in kills if kill.left)
    print(Counter(kill.moment for kill in kills), "with a temporary file:", hit)
    assert set(Counter(kill.moment for kill in kills)) == set(MOMENTS)
    assert hit["write"] >= 20 and sum(kill.swept for kill in kills) >= 20


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGTERM])
def test_a_token_is_on_record_by_the_moment_that_readers_see_it(lab, tmp_path, ended_by):
    lab.role("seen", ttl="10m")
    for attempt in range(10):
        folder = tmp_path / str(attempt)
        (folder / "state").mkdir(parents=True)
        configuration = lab.configuration(folder, role="seen")
        configuration["state_directory"] = str(folder / "state")
        first = lab.agent(folder=folder, configuration=configuration)
        while not (token := first.token()):
            assert first.child.running, first.log
        first.child.signal(ended_by)
        first.child.wait(10)
        second = lab.agent(folder=folder, configuration=configuration)
        second.wait_for_log("Token of an earlier run found", 10)
        assert second.token() == token
        second.stop()
