"""Somebody puts something else where a sink is, again and again, and takes it away."""

import errno
import os
import shutil
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from at_work import LEASE, AtWork

pytestmark = pytest.mark.long(60)

VICTIM = "what another program keeps"


def a_link_to_anothers_file(place: Path, victim: Path) -> None:
    place.symlink_to(victim)


def a_link_to_nowhere(place: Path, victim: Path) -> None:
    place.symlink_to(victim.with_name("nowhere"))


def a_link_to_itself(place: Path, victim: Path) -> None:
    place.symlink_to(place)


def a_second_name_of_anothers_file(place: Path, victim: Path) -> None:
    place.hardlink_to(victim)


def a_pipe(place: Path, victim: Path) -> None:
    os.mkfifo(place, 0o600)


def a_device(place: Path, victim: Path) -> None:
    os.mknod(place, stat.S_IFCHR | 0o600, os.makedev(1, 7))  # /dev/full


def a_directory(place: Path, victim: Path) -> None:
    place.mkdir()


def a_full_directory(place: Path, victim: Path) -> None:
    place.mkdir()
    (place / "kept").write_text(VICTIM)


def a_socket(place: Path, victim: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(place))


def a_file_without_end(place: Path, victim: Path) -> None:
    with place.open("wb") as file:
        file.truncate(1 << 40)


STRANGE = [
    a_link_to_anothers_file,
    a_link_to_nowhere,
    a_link_to_itself,
    a_second_name_of_anothers_file,
    a_pipe,
    a_device,
    a_directory,
    a_full_directory,
    a_socket,
    a_file_without_end,
]


def put(strange: Callable[[Path, Path], None], place: Path, victim: Path) -> None:
    """In the sink's place, where the agent may have put its own again meanwhile."""
    for _ in range(100):
        remove(place)
        try:
            return strange(place, victim)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.EADDRINUSE):
                raise
    raise AssertionError(f"the agent is always quicker than {strange.__name__}")


def remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_what_stands_in_a_sinks_place_is_neither_followed_nor_waited_for(lab, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text(VICTIM)
    agent = AtWork(lab, tmp_path)
    for strange in STRANGE:
        places = [agent.places / name for name in ("token", "document", "socket")]
        for place in places:
            put(strange, place, victim)
        time.sleep(LEASE / 3)
        for place in places:
            if place.is_dir():
                remove(place)
        agent.is_well()
    agent.is_as_before()
    assert victim.read_text() == VICTIM and not (tmp_path / "nowhere").exists()


def test_a_directory_that_is_swapped_for_another_under_its_sinks(lab, tmp_path):
    agent = AtWork(lab, tmp_path)
    aside, other = tmp_path / "aside", tmp_path / "other"
    for _ in range(3):
        agent.places.rename(aside)
        other.mkdir()
        agent.places.symlink_to(other)
        agent.watched_for(LEASE / 2)
        agent.places.unlink()
        shutil.rmtree(other)
        agent.watched_for(1)
        aside.rename(agent.places)
        agent.watched_for(LEASE / 2)
    agent.is_as_before()
