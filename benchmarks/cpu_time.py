"""Reads CPU times from Linux's /proc (proc_pid_stat(5))."""

import os
from collections.abc import Sequence
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def stat_fields(stat: Path) -> Sequence[str]:
    """Return the fields of a process's or thread's `stat` that follow its name, which may hold spaces."""
    return stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()


def used_seconds(fields: Sequence[str]) -> float:
    """Return the CPU time since the start, in user space and in the kernel."""
    return (int(fields[11]) + int(fields[12])) / TICKS


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads of a process since its start."""
    return used_seconds(stat_fields(Path(f"/proc/{pid}/stat")))
