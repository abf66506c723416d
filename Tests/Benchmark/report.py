"""What the benchmarks print: tables, and aims of which each is met or missed."""

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Aim:
    """A number, what it should be, and whether it is: decided on the number, not on how it prints."""

    title: str
    value: float
    unit: str
    wanted: str
    met: bool

    def __str__(self) -> str:
        measured = f"{number(self.value)} {self.unit}".strip()
        return f"{'met   ' if self.met else 'MISSED'}  {self.title}: {measured}, aim {self.wanted}"


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if isinstance(value, int) or value == 0:
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(corner: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[float | str]]]) -> str:
    lines = [[corner, *columns]]
    lines += [[title, *(cell if isinstance(cell, str) else number(cell) for cell in cells)] for title, cells in rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    )


def machine() -> dict[str, object]:
    return {
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
