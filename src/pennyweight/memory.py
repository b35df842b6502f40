"""How many pages of keys and values there may be: what a stated ceiling leaves, or what suits the machine.

`--memory` is a ceiling on the resident memory of the whole process. What is not pages is counted before a
model is read (`memory_need`), and what it then really took is measured. Without a ceiling the pool holds
`parallel` whole contexts, of which only what is touched costs memory, and takes half of what is available at
most: the rest is the machine's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pennyweight.core import PAGE_TOKENS, pages_for
from pennyweight.errors import ConfigError
from pennyweight.memory_need import (
    EXTENT_TOKENS,
    LEAST_CONTEXT,
    MemoryNeed,
    kv_bytes,
    memory_need,
    serving_bytes,
)
from pennyweight.system_memory import available_memory, resident_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.models.outline import ModelOutline
    from pennyweight.models.spec import ModelSpec

SHARE = 0.5
MAX_ADAPTER_BYTES = 256 * 2**20  # four dozen of rank 16 for a model of 135 million weights
ADAPTER_SHARE = 0.125  # of what is available, or of what a ceiling leaves for pages
DEFAULT_PARALLEL = 8
_UNITS = {"b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_UNITS |= {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SIZE = re.compile(r"(?P<number>\d{1,15}(?:\.\d{1,9})?) *(?P<unit>[KMGT]?i?B)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSize:
    """`context` is in tokens; `num_pages` pages hold at least `parallel` contexts of it.

    `adapter_bytes` is the most that adapters take together. `remedy` says what limits the context, and what
    to do if it is too small.
    """

    context: int
    parallel: int
    num_pages: int
    remedy: str = field(default="Shorten the prompt.", compare=False)
    adapter_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PageBudget:
    """Bytes that pages may take, where they come from (for messages), and whether all are to be used.

    `adapter_bytes` are beside them.
    """

    num_bytes: int
    source: str
    use_all: bool = False
    adapter_bytes: int = 0


def parse_memory(value: int | str, *, name: str = "memory") -> int:
    """Bytes of `1.5GiB`, `800MB` and so on; a number of bytes is itself. ConfigError for anything else.

    `name` is what the setting is called.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    unit = None if match is None else _UNITS.get(match["unit"].lower())
    if match is None or unit is None or float(match["number"]) * unit < 1:
        raise ConfigError(f"{name} is {value!r}; write an amount such as 1.5GiB or 800MB")
    return int(float(match["number"]) * unit)


class MemoryPlan:
    """From a ceiling (None: none was stated) to the pool of one model; `admit` comes first.

    Of a process with several models, `beside` tells what the others may yet take, and `share` the most bytes
    for the pages of this one.
    """

    def __init__(
        self,
        ceiling_bytes: int | None,
        *,
        threads: int,
        beside: Callable[[], int] = lambda: 0,
        share: Callable[[ModelOutline], int] | None = None,
    ) -> None:
        self._ceiling_bytes = ceiling_bytes
        self._threads = threads
        self._beside = beside
        self._share = share
        self._share_bytes: int | None = None
        self.buffer_bytes = 0

    def admit(self, outline: ModelOutline) -> None:
        """Raise ConfigError before anything is read if the model cannot fit, naming what it needs."""
        self.check(outline, held_bytes=resident_memory() + self._beside())
        self.buffer_bytes = memory_need(outline, resident_bytes=0, threads=self._threads).buffer_bytes
        if self._share is not None:
            self._share_bytes = self._share(outline)

    def check_alone(
        self, outline: ModelOutline, *, held_bytes: int, context: int | None, parallel: int | None
    ) -> None:
        """Raise ConfigError if the model would not fit a process that holds nothing but `held_bytes`."""
        self.check(outline, held_bytes=held_bytes)
        need = memory_need(outline, resident_bytes=held_bytes, threads=self._threads)
        limit, source = resident_memory() + available_memory(), "what is available"
        if self._ceiling_bytes is not None and self._ceiling_bytes < limit:
            limit, source = self._ceiling_bytes, f"what --memory {_mib(self._ceiling_bytes)} leaves"
        left = PageBudget(num_bytes=limit - need.total_bytes + need.page_bytes, source=source)
        pool_size(outline.spec, context=context, parallel=parallel, budget=left)

    def check(self, outline: ModelOutline, *, held_bytes: int) -> None:
        """As `admit`, in a process that has `held_bytes` of its memory in use."""
        need = memory_need(outline, resident_bytes=held_bytes, threads=self._threads)
        available = resident_memory() + available_memory()
        if self._ceiling_bytes is not None and need.total_bytes > self._ceiling_bytes:
            raise ConfigError(f"memory is {_mib(self._ceiling_bytes)}, too little: {_needs(need)}")
        if need.total_bytes > available:
            raise ConfigError(f"{_mib(available)} of memory are available, too little: {_needs(need)}")

    def fits(self, outline: ModelOutline, *, context: int | None, parallel: int | None) -> bool:
        """Whether the model has room now, with the pages that were asked for, or the least."""
        held = resident_memory()
        need = memory_need(outline, resident_bytes=held + self._beside(), threads=self._threads)
        pages = _least_page_bytes(outline.spec, context, parallel)
        limit = held + available_memory()
        if self._ceiling_bytes is not None:
            limit = min(limit, self._ceiling_bytes)
        return need.total_bytes - need.page_bytes + pages <= limit

    def pool(self, spec: ModelSpec, *, context: int | None, parallel: int | None) -> PoolSize:
        """The pool, now that the model is there. ConfigError if what was asked for does not fit."""
        least = _least_page_bytes(spec, context, parallel)
        return pool_size(spec, context=context, parallel=parallel, budget=self._budget(spec, least))

    def _budget(self, spec: ModelSpec, least_bytes: int) -> PageBudget:
        beside = self._beside()
        available = max(0, available_memory() - beside)
        if self._ceiling_bytes is None:
            return PageBudget(
                num_bytes=int(available * SHARE),
                source=f"half of the {_mib(available)} of memory available",
                adapter_bytes=min(MAX_ADAPTER_BYTES, int(available * ADAPTER_SHARE)),
            )
        rest = self.buffer_bytes + serving_bytes(spec)
        left = min(self._ceiling_bytes - resident_memory() - beside, available) - rest
        source = f"what --memory {_mib(self._ceiling_bytes)} leaves"
        if self._share_bytes is not None and self._share_bytes < left:
            left, source = max(self._share_bytes, min(least_bytes, left)), f"this model's share of {source}"
        # Adapters never take the room of the pages that were asked for.
        adapters = max(0, min(MAX_ADAPTER_BYTES, int(left * ADAPTER_SHARE), left - least_bytes))
        return PageBudget(num_bytes=left - adapters, source=source, use_all=True, adapter_bytes=adapters)


def pool_size(spec: ModelSpec, *, context: int | None, parallel: int | None, budget: PageBudget) -> PoolSize:
    """The pool for what was asked; what was not (None) is chosen to fit. ConfigError gives the numbers."""
    if context is not None and context > spec.context_length:
        message = (
            f"a context of {context} tokens was asked for; this model was made for {spec.context_length}"
        )
        raise ConfigError(message)
    asked = context is not None
    extent_pages = EXTENT_TOKENS // PAGE_TOKENS
    extent_bytes = EXTENT_TOKENS * spec.kv_bytes_per_token
    budget_pages = max(0, budget.num_bytes) // extent_bytes * extent_pages
    if context is None:
        affordable = budget_pages // (parallel or 1) * PAGE_TOKENS
        context = min(spec.context_length, max(affordable, LEAST_CONTEXT))
    pages = pages_for(context)
    wanted = parallel or max(1, min(DEFAULT_PARALLEL, budget_pages // pages))
    if pages * wanted > budget_pages:
        needed = -(-pages * wanted // extent_pages) * extent_bytes
        raise ConfigError(
            f"{wanted} x {context} tokens of context need {_mib(needed)} for keys and values, and "
            f"{budget.source} is {_mib(max(0, budget.num_bytes))}; "
            "ask for a smaller --context or --parallel, or give more memory"
        )
    num_pages = budget_pages if budget.use_all and parallel is None else pages * wanted
    return PoolSize(
        context=context,
        parallel=wanted,
        num_pages=num_pages,
        remedy=_remedy(spec, context, asked=asked),
        adapter_bytes=budget.adapter_bytes,
    )


def _remedy(spec: ModelSpec, context: int, *, asked: bool) -> str:
    """What limits the context, and what raises it."""
    made_for = f"the model was made for {spec.context_length}"
    if context >= spec.context_length:
        return "The model was made for no more: shorten the prompt."
    if asked:
        return f"--context set that limit, {made_for}: shorten the prompt or raise --context."
    smaller = " or --kv-cache-dtype int4" if spec.kv_format == "int8" else ""
    return (
        f"Memory allows no more, {made_for}: shorten the prompt, or have the server started with more "
        f"--memory, a lower --parallel{smaller}."
    )


def _least_page_bytes(spec: ModelSpec, context: int | None, parallel: int | None) -> int:
    """Of the pages that were asked for, or of the fewest there may be."""
    return kv_bytes(spec, context or min(LEAST_CONTEXT, spec.context_length)) * (parallel or 1)


def _needs(need: MemoryNeed) -> str:
    return (
        f"the model needs {_mib(need.total_bytes)}: {_mib(need.weight_bytes)} for its weights, "
        f"{_mib(need.buffer_bytes)} to compute in, {_mib(need.page_bytes)} for keys and values of the least "
        f"context and {_mib(need.program_bytes)} for the program"
    )


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:,.0f} MiB"
