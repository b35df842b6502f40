"""CPU seconds of a process by thread, and of everything else meanwhile, read from Linux's /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


def thread_seconds(pid: int) -> dict[int, float]:
    """CPU seconds (user and system) of each living thread of the process, by thread id."""
    ticks = os.sysconf("SC_CLK_TCK")
    seconds = {}
    for folder in Path(f"/proc/{pid}/task").iterdir():
        # the name stands in parentheses and may hold spaces: count fields after it (proc_pid_stat(5))
        fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        seconds[int(folder.name)] = (int(fields[11]) + int(fields[12])) / ticks
    return seconds


def seconds_beside(before: dict[int, float], after: dict[int, float], *, workers: int) -> float:
    """CPU seconds spent between two readings outside the `workers` busiest threads.

    Of our server under load those are the threads that compute; what is left is everything Python does:
    HTTP, tokens to text, server-sent events, and the engine's own scheduling.
    """
    spent = sorted((after[thread] - before.get(thread, 0.0) for thread in after), reverse=True)
    return sum(spent[workers:])


@dataclass(frozen=True, slots=True)
class Readings:
    """CPU seconds so far: of everything on the machine, and of this process with its finished children."""

    clock_s: float
    machine_s: float
    own_s: float
    cores: int

    @classmethod
    def now(cls) -> Readings:
        """Read the clocks. Time stolen by a hypervisor counts as the machine's."""
        line = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()
        user, nice, system, _, _, irq, softirq, steal = (int(field) for field in line[1:9])
        busy = user + nice + system + irq + softirq + steal
        times = os.times()
        own_s = times.user + times.system + times.children_user + times.children_system
        return cls(times.elapsed, busy / os.sysconf("SC_CLK_TCK"), own_s, os.cpu_count() or 1)

    def foreign_share(self, earlier: Readings) -> float:
        """Share of all cores that others took since `earlier`: a measurement under load is worthless."""
        foreign_s = (self.machine_s - earlier.machine_s) - (self.own_s - earlier.own_s)
        return max(0.0, foreign_s / (self.cores * max(1e-9, self.clock_s - earlier.clock_s)))
