"""An application that opens its files as fast as it can. Run as a program, in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Findings:
    opens: dict[str, int]  # by path
    contents: dict[str, set[str]]  # by path: all that was ever read there
    missing: int  # opens that found no file
    seconds: float


class RapidReader:
    """Reads until it has made so many opens, in so many seconds, and has seen so many contents of the first path. That
    one is opened `SHARE` times for each time that the others are.
    """

    SHARE = 20

    def __init__(self, paths: list[Path], *, opens: int, seconds: float, contents: int):
        command = [sys.executable, __file__, str(opens), str(seconds), str(contents), *map(str, paths)]
        self._output = tempfile.TemporaryFile("w+")  # noqa: SIM115  a pipe would hold it up at its end
        self._process = subprocess.Popen(command, stdout=self._output)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def findings(self, seconds: float) -> Findings:
        self._process.wait(seconds)
        self._output.seek(0)
        found = json.load(self._output)
        contents = {path: set(texts) for path, texts in found["contents"].items()}
        return Findings(found["opens"], contents, found["missing"], found["seconds"])

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()


def _read(opens: int, seconds: float, contents: int, paths: list[str]) -> dict:
    turn = [paths[0]] * RapidReader.SHARE + paths[1:]
    seen: dict[str, set[bytes]] = {path: set() for path in paths}
    turns = missing = 0
    started = time.monotonic()
    while True:
        for path in turn:
            try:
                file = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                missing += 1
                continue
            # In two steps, as buffered readers do: what was opened must stay what it was.
            text = os.read(file, 24)
            text += os.read(file, 65_536)
            os.close(file)
            seen[path].add(text)
        turns += 1
        if turns % 500 == 0:
            lasted = time.monotonic() - started
            if turns * len(turn) >= opens and lasted >= seconds and len(seen[paths[0]]) >= contents:
                break
    return {
        "opens": {path: turns * count for path, count in Counter(turn).items()},
        "contents": {path: [text.decode(errors="replace") for text in texts] for path, texts in seen.items()},
        "missing": missing,
        "seconds": lasted,
    }


if __name__ == "__main__":
    json.dump(_read(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]), sys.stdout)
