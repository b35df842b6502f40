"""How much memory there is, and how many pages of keys and values it affords.

The pool holds `parallel` whole contexts at once; shorter conversations share it in any number. It may take
half of the memory available when the model opens: the rest is the machine's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pennyweight.core import PAGE_TOKENS, pages_for
from pennyweight.errors import ConfigError

if TYPE_CHECKING:
    from pennyweight.models.spec import ModelSpec

SHARE = 0.5
DEFAULT_PARALLEL = 8
_LEAST_CONTEXT = 1024  # with less a conversation of a few turns does not fit
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSize:
    """`context` is in tokens; `num_pages` pages hold `parallel` contexts of it."""

    context: int
    parallel: int
    num_pages: int


def pool_size(
    spec: ModelSpec, *, context: int | None, parallel: int | None, available_bytes: int
) -> PoolSize:
    """The pool for what was asked; what was not (None) is chosen to fit. ConfigError gives the numbers."""
    if context is not None and context > spec.context_length:
        message = (
            f"a context of {context} tokens was asked for; this model was made for {spec.context_length}"
        )
        raise ConfigError(message)
    page_bytes = PAGE_TOKENS * spec.kv_bytes_per_token
    budget_pages = int(available_bytes * SHARE) // page_bytes
    if context is None:
        affordable = budget_pages // (parallel or 1) * PAGE_TOKENS
        context = min(spec.context_length, max(affordable, _LEAST_CONTEXT))
    pages = pages_for(context)
    if parallel is None:
        parallel = max(1, min(DEFAULT_PARALLEL, budget_pages // pages))
    if pages * parallel > budget_pages:
        needed = _mib(pages * parallel * page_bytes)
        message = (
            f"{parallel} x {context} tokens of context need {needed} for keys and values, and half of the "
            f"{_mib(available_bytes)} of memory available is {_mib(int(available_bytes * SHARE))}; "
            "ask for a smaller --context or --parallel, or free memory"
        )
        raise ConfigError(message)
    return PoolSize(context=context, parallel=parallel, num_pages=pages * parallel)


def available_memory() -> int:
    """Bytes a new allocation may take without swapping: the machine's, or the container's if that is less."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    machine = int(fields["MemAvailable"].split()[0]) * 1024
    limit = _number(_CGROUP / "memory.max")
    used = _number(_CGROUP / "memory.current")
    if limit is None or used is None:
        return machine
    # Files the kernel keeps in memory count as used there, but it gives them back.
    cached = _statistic(_CGROUP / "memory.stat", "inactive_file")
    return max(0, min(machine, limit - used + cached))


def _number(path: Path) -> int | None:
    """The one number of a cgroup file; None if there is no such file or it says "max"."""
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


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:,.0f} MiB"
