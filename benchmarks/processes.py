"""Memory and processor time of other processes, from Linux's /proc."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


def on_linux() -> bool:
    """Whether these figures can be had at all."""
    return sys.platform == "linux"


def status_mb(pid: int, field: str) -> float:
    """A field of /proc/PID/status in MB: VmRSS is resident now, VmHWM the most ever."""
    return _megabytes((_PROC / str(pid) / "status").read_text("ascii"), field)


def pss_mb(pid: int) -> float:
    """Proportional set size in MB: memory shared with others counts by its share, so that a sum is right."""
    return _megabytes((_PROC / str(pid) / "smaps_rollup").read_text("ascii"), "Pss")


def descendants(pid: int) -> list[int]:
    """The processes below a process, itself not among them."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def cpu_seconds(pid: int, *, ended_children: bool = False) -> float:
    """Processor time that a process has used, with that of its children that ended if asked; 0 when it is gone."""
    fields = _stat(pid)
    ticks = fields[11:15] if ended_children else fields[11:13]
    return sum(int(value) for value in ticks) / _TICKS


def busy_seconds() -> float:
    """Processor time that all processes of the machine have used, summed over the cores (proc(5): /proc/stat)."""
    user, nice, system, _idle, _wait, interrupts, soft, *_ = (
        int(value) for value in (_PROC / "stat").read_text("ascii").split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + interrupts + soft) / _TICKS


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (proc(5): the third); none when the process is gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text("ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _megabytes(text: str, field: str) -> float:
    line = next(line for line in text.splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024
