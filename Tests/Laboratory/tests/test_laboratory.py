"""The laboratory leaves nothing behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from laboratory.openbao import OpenBao
from laboratory.processes import SLOWER, LaboratoryError, children


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in found for child in path.read_text().split()]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_everything_stops_when_the_laboratory_ends_however_it_ends(end):
    run = subprocess.Popen(
        [sys.executable, "-m", "laboratory"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert run.stdout is not None
    lines = []
    while not lines or "BAO_ADDR" not in lines[-1]:
        lines.append(run.stdout.readline())
        assert lines[-1], "the laboratory ended at its start"
    folder = Path(next(line for line in lines if "CONFIG=" in line).partition("=")[2]).parents[1]
    children = _children(run.pid)
    assert len(children) == 2 and folder.exists()
    run.send_signal(end)
    run.wait(15 * SLOWER)
    run.stdout.close()
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    if end is signal.SIGKILL:  # nobody is left to remove it
        subprocess.run(["rm", "-rf", folder], check=True)
    assert not folder.exists()


def test_an_openbao_that_has_died_says_how_and_with_which_last_words(tmp_path):
    bao = OpenBao(tmp_path)
    try:
        with (tmp_path / "bao.log").open("a") as log:
            log.write("no space left for another token\n")
        os.kill(bao._child.pid, signal.SIGKILL)
        bao._child.wait(5)
        with pytest.raises(LaboratoryError, match=r"(?s)status -9.*no space left for another token"):
            bao.remaining("any")
    finally:
        bao.stop()


def test_children_are_listed_while_threads_end():
    over = threading.Event()

    def begin_and_end_threads() -> None:
        while not over.is_set():
            begun = [threading.Thread(target=time.sleep, args=(0.001,)) for _ in range(8)]
            for thread in begun:
                thread.start()
            for thread in begun:
                thread.join()

    busy = threading.Thread(target=begin_and_end_threads)
    busy.start()
    try:
        for _ in range(2_000):
            children()
    finally:
        over.set()
        busy.join()
