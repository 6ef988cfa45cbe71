"""What processes of this machine use: CPU time and memory, from Linux' /proc."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds since the start, user and system, and resident memory in MB."""

    cpu: float
    rss_mb: float
    threads: int


def parse_stat(text: str) -> tuple[int, Usage]:
    """The parent and the usage in a line of /proc/PID/stat, whatever the process calls itself."""
    fields = text.rpartition(")")[2].split()
    parent, user, system, threads, resident = (int(fields[i]) for i in (1, 11, 12, 17, 21))
    return parent, Usage((user + system) / _TICK, resident * _PAGE_MB, threads)


def tree(pid: int) -> dict[int, Usage]:
    """The process and all that it started, directly or not; empty when it is gone."""
    parents, usages = {}, {}
    for directory in _PROC.iterdir():
        if directory.name.isdigit():
            try:
                parent, usage = parse_stat((directory / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended meanwhile
            parents[int(directory.name)], usages[int(directory.name)] = parent, usage
    found = {pid} & usages.keys()
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {one: usages[one] for one in sorted(found, key=lambda one: (one != pid, one))}


def descriptors(pid: int) -> int:
    """How many files and sockets the process has open; 0 when it is gone or another user's."""
    try:
        return len(os.listdir(_PROC / str(pid) / "fd"))
    except (FileNotFoundError, PermissionError):
        return 0


def cores(text: str) -> Sequence[int]:
    """Cores as taskset writes them: "0", "0,2" or "0-3". Raises ValueError."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.extend(range(int(first), int(last or first) + 1))
    return found


def pin(pid: int, to: Collection[int] | None) -> None:
    """Keep the process, and what it will start, on these cores; None leaves it."""
    if to is not None:
        os.sched_setaffinity(pid, to)
