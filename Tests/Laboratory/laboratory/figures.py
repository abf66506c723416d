"""What the kernel says of a running process: memory, threads, CPU time, wake-ups."""

import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figures:
    peak_resident: int  # bytes, since the start
    resident: int  # bytes, now
    anonymous: int  # bytes, now: what is the process's own and no other's
    threads: int
    cpu_seconds: float  # of all threads, those that have ended included
    wake_ups: dict[int, int]  # voluntary context switches of each thread that lives now


def _fields(path: Path) -> dict[str, str]:
    return dict(line.split(":", 1) for line in path.read_text().splitlines() if ": " in line or ":\t" in line)


def figures(pid: int) -> Figures:
    process = Path("/proc") / str(pid)
    status = _fields(process / "status")
    wake_ups = {}
    for task in (process / "task").iterdir():
        try:
            wake_ups[int(task.name)] = int(_fields(task / "status")["voluntary_ctxt_switches"])
        except (FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            continue
    # The clock that clock_getcpuclockid(3) would name: nanoseconds, where /proc/PID/stat counts in ticks of 10 ms.
    cpu = time.clock_gettime((~pid << 3) | 2)
    return Figures(
        peak_resident=int(status["VmHWM"].split()[0]) * 1024,
        resident=int(status["VmRSS"].split()[0]) * 1024,
        anonymous=int(status["RssAnon"].split()[0]) * 1024,
        threads=int(status["Threads"]),
        cpu_seconds=cpu,
        wake_ups=wake_ups,
    )


def woken_since(before: Figures, after: Figures) -> int:
    """Wake-ups between two looks at a process; of threads that have ended in between none are known."""
    return sum(count - before.wake_ups.get(thread, 0) for thread, count in after.wake_ups.items())


def proportional_memory(pid: int) -> int:
    """Bytes now; what is shared with other processes counts by this one's share."""
    return int(_fields(Path("/proc") / str(pid) / "smaps_rollup")["Pss"].split()[0]) * 1024
