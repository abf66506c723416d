"""The promise of the file: whoever opens it at any moment finds a whole token, and a killed agent leaves no other."""

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

from laboratory.agent import agent_binary
from laboratory.killer import MOMENTS, Killer
from laboratory.processes import wait_until
from laboratory.rapid_reader import RapidReader
from laboratory.secret_search import secrets_in

OPENS = 1_000_000
ROTATIONS = 200
SECONDS = 10
KILLS = 500
LANES = 4


def sinks(configuration: dict, folder: Path) -> dict[str, Path]:
    """A file of each format, in a directory that holds nothing else."""
    folder.mkdir()
    paths = {format: folder / format for format in ("token", "json", "env")}
    configuration["tokens"][0]["sinks"] = [
        {"type": "file", "path": str(path), "format": format} for format, path in paths.items()
    ]
    return paths


def is_whole_document(text: str, issued: set[str], address: str) -> bool:
    """Whether a json sink holds one document, with a token that was issued and all that belongs to it."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return text.endswith("}\n") and found["token"] in issued and found["vault_addr"] == address and found["accessor"]


def test_a_million_opens_during_200_rotations_find_nothing_but_whole_tokens(lab, tmp_path):
    # The agent makes at most twenty requests a lease, so a lease of one second lets it rotate as often as it can.
    lab.role("rapid", ttl="1s")
    configuration = lab.configuration(tmp_path, role="rapid")
    paths = sinks(configuration, tmp_path / "sinks")
    run = lab.agent(folder=tmp_path, configuration=configuration)
    wait_until(lambda: all(path.exists() for path in paths.values()), 10, "all sinks")

    reader = RapidReader(list(paths.values()), opens=OPENS, seconds=SECONDS, contents=ROTATIONS + 1)
    try:
        deadline = time.monotonic() + 150
        while reader.running and time.monotonic() < deadline:
            run.child.signal(signal.SIGUSR1)
            time.sleep(SECONDS / ROTATIONS)
        found = reader.findings(5)
    finally:
        reader.end()
    run.stop()

    print(f"{found.opens} in {found.seconds:.1f} s")
    issued = set(lab.front_door.tokens)
    address = lab.front_door.url
    seen = {format: found.contents[str(path)] for format, path in paths.items()}
    assert not found.missing
    assert not seen["token"] - issued
    assert not seen["env"] - {f"VAULT_TOKEN={token}\nVAULT_ADDR={address}" for token in issued}
    assert not [text for text in seen["json"] if not is_whole_document(text, issued, address)]
    assert len(seen["token"]) > ROTATIONS
    assert len(seen["json"]) > ROTATIONS / 2 and len(seen["env"]) > ROTATIONS / 2
    assert sum(found.opens.values()) >= OPENS and found.seconds >= SECONDS
    print(f"{len(seen['token']) - 1} rotations")


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
        lanes = [killer.kills(240) for killer in killers]
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
    for lane in range(LANES):
        assert not secrets_in((tmp_path / str(lane) / "log").read_text(), lab.secrets())
