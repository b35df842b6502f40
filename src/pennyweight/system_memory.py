"""What the system says about memory: how much there is for this process, and how much it holds.

A container's limit may stand on any level of its control groups, so all levels are read, of version 2
(https://docs.kernel.org/admin-guide/cgroup-v2.html) and 1.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """The names a version of control groups gives its figures; `cached` is a line of `memory.stat`."""

    limit: str
    used: str
    cached: str


_V1 = _Files(limit="memory.limit_in_bytes", used="memory.usage_in_bytes", cached="total_inactive_file")
_V2 = _Files(limit="memory.max", used="memory.current", cached="inactive_file")


def available_memory() -> int:
    """Bytes a new allocation may take without swapping: the machine's, or the container's if that is less."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    machine = int(fields["MemAvailable"].split()[0]) * 1024
    return max(0, min([machine, *container_memory(_CGROUPS, _OWN_CGROUP)]))


def resident_memory() -> int:
    """Bytes of memory this process holds, shared libraries included."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def container_memory(root: Path, own: Path) -> list[int]:
    """Bytes left under each limit that holds for this process; `own` lists its groups, `root` has them."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            left += _left_on_path(root, path, _V2)
        elif "memory" in controllers.split(","):
            left += _left_on_path(root / "memory", path, _V1)
    return left


def _left_on_path(root: Path, path: str, files: _Files) -> list[int]:
    """From the root down; a container that cannot see its own path has its limit at the root."""
    names = Path(path).parts[1:]
    folder, left = root, []
    for name in ("", *(() if ".." in names else names)):
        folder /= name
        limit, used = _number(folder / files.limit), _number(folder / files.used)
        if limit is not None and used is not None:
            # Files the kernel keeps in memory count as used there, but it gives them back.
            left.append(limit - used + _statistic(folder / "memory.stat", files.cached))
    return left


def _number(path: Path) -> int | None:
    """The one number of a file; None if there is no such file or it says "max"."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _statistic(path: Path, name: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name + " ")), 0)
