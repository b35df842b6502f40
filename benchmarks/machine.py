"""What the figures were measured on: a table without its machine and date says nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

_TOLD_FLAGS = ("avx512_vnni", "avx512f", "avx_vnni", "avx2", "asimddp", "asimd")


def describe_machine() -> dict[str, str | int]:
    """Processor, cores of this process, memory in GiB, compiler and the date (UTC)."""
    processor, flags = _processor()
    return {
        "processor": processor,
        "instruction_sets": " ".join(flag for flag in _TOLD_FLAGS if flag in flags),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "compiler": _first_line("c++", "--version"),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> tuple[str, set[str]]:
    name, flags = platform.processor() or platform.machine(), set[str]()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        if key.strip() in ("flags", "Features"):
            flags = set(value.split())
    return name, flags


def _first_line(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0]
