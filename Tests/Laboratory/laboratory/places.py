"""Where a process leaves what it knows: what /proc shows of it, its memory, the files around it, its writes."""

import array
import contextlib
import mmap
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

# A mapping that is larger, the sanitizers' tables are, is nobody's heap.
LARGEST_MAPPING = 1 << 32
PAGE = mmap.PAGESIZE
PRESENT = 1 << 63 | 1 << 62  # in memory, or in swap: proc(5), /proc/pid/pagemap


def _with_descendants(pid: int) -> list[int]:
    found = [pid]
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, listed.read_text().split()):
                found += _with_descendants(child)
    return found


def running(program: Path, below: int) -> list[int]:
    """The processes among `below` and its descendants that run this program."""
    found = []
    for pid in _with_descendants(below):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/exe").samefile(program):
                found.append(pid)
    return found


def of_process(pid: int) -> dict[str, bytes]:
    """All that /proc shows of it but its memory: whoever may look there, and `ps`, sees this. Empty where it has gone.
    Files that have no name any more, or never had one, are read.
    """
    found: dict[str, bytes] = {}
    for name in ("cmdline", "environ", "comm", "maps", "status"):
        with contextlib.suppress(OSError):
            found[f"/proc/{name}"] = Path(f"/proc/{pid}/{name}").read_bytes()
    targets = []
    with contextlib.suppress(OSError):
        for number in os.listdir(f"/proc/{pid}/fd"):
            path = f"/proc/{pid}/fd/{number}"
            with contextlib.suppress(OSError):
                target = os.readlink(path)
                targets.append(target)
                if target.endswith(" (deleted)") and stat.S_ISREG(os.stat(path).st_mode):
                    found[f"the nameless file {target}"] = Path(path).read_bytes()
    found["/proc/fd"] = "\n".join(targets).encode()
    for task in Path(f"/proc/{pid}/task").glob("*/comm"):
        with contextlib.suppress(OSError):
            found["/proc/task/comm"] = found.get("/proc/task/comm", b"") + task.read_bytes()
    return found


def memory(pid: int) -> bytes:
    """What it can write to and has written: heap, stacks, variables. PermissionError: only root may read that."""
    parts = []
    with open(f"/proc/{pid}/mem", "rb", 0) as all_of_it, open(f"/proc/{pid}/pagemap", "rb", 0) as pages:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            fields = line.split(maxsplit=5)
            start, end = (int(each, 16) for each in fields[0].split("-"))
            if not fields[1].startswith("rw") or end - start > LARGEST_MAPPING:
                continue
            entries = array.array("Q", os.pread(pages.fileno(), (end - start) // PAGE * 8, start // PAGE * 8))
            first = None
            for number, entry in enumerate([*entries, 0]):
                if entry & PRESENT:
                    first = number if first is None else first
                elif first is not None:
                    with contextlib.suppress(OSError):
                        parts.append(os.pread(all_of_it.fileno(), (number - first) * PAGE, start + first * PAGE))
                    first = None
    return b"\0".join(parts)


def contents(paths: Iterable[Path]) -> list[bytes]:
    """Of those that are ordinary files."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            if path.is_file():
                found.append(path.read_bytes())
    return found


def files(folder: Path, but: Iterable[Path] = ()) -> dict[str, bytes]:
    """Every file below, and every name: logs, core dumps, leftovers; but not the content of `but`."""
    left_out = {os.path.realpath(each) for each in but}
    found: dict[str, bytes] = {}
    names = []
    for path, folders, contained in os.walk(folder):
        if os.path.realpath(path) in left_out:
            folders.clear()
            continue
        for name in contained:
            whole = os.path.join(path, name)
            names.append(whole)
            if os.path.realpath(whole) in left_out:
                continue
            with contextlib.suppress(OSError):
                if stat.S_ISREG(os.lstat(whole).st_mode):
                    found[whole] = Path(whole).read_bytes()
    found[f"the names below {folder}"] = "\n".join(names).encode(errors="surrogateescape")
    return found


# What strace -f -yy prints: `write(3<TCP:[127.0.0.1:4->127.0.0.1:5]>, "...", 12) = 12`, `sendmsg(…)`, `pwrite64(…)`.
_WRITE = re.compile(rb"^(?:\d+ +)?(?:write|writev|pwrite64|pwritev|sendto|sendmsg|sendmmsg)\(\d+<(.*?)>, ")
CALLS = "trace=write,writev,pwrite64,pwritev,sendto,sendmsg,sendmmsg"
# Beside the program, which stays the child of who started it.
STRACE = ("strace", "-D", "-f", "-yy", "-s", "1000000", "-e", CALLS)


def written(trace: bytes, but: Iterable[Path] = ()) -> bytes:
    """What a process wrote, of a trace by `STRACE`; but not by TCP, nor into the directories of `but`."""
    left_out = {os.path.realpath(each.parent) + "/" for each in but}
    kept = []
    for line in trace.splitlines():
        call = _WRITE.match(line)
        if call is None:
            continue
        target = call[1].decode(errors="replace")
        if target.startswith("TCP") or any(target.startswith(each) for each in left_out):
            continue
        kept.append(line)
    return b"\n".join(kept)
