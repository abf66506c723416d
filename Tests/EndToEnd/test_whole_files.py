"""The promise of the file: whoever opens it at any moment finds a whole token."""

import json
import signal
import time
from pathlib import Path

import pytest

from laboratory.processes import SLOWER, wait_until
from laboratory.rapid_reader import RapidReader

pytestmark = pytest.mark.long(60)

OPENS = 1_000_000
ROTATIONS = 200
SECONDS = 10


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
        deadline = time.monotonic() + 150 * SLOWER
        while reader.running and time.monotonic() < deadline:
            run.child.signal(signal.SIGUSR1)
            time.sleep(SECONDS / ROTATIONS)
        found = reader.findings(5 * SLOWER)
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
