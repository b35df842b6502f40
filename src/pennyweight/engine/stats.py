"""A snapshot of the engine for `/health`, `/stats` and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pennyweight.engine.scheduler import Scheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """Counts of now, then totals since the start. A rate is a difference of totals over one of seconds."""

    running: int = 0
    waiting: int = 0
    pages_total: int = 0
    pages_used: int = 0  # held by running sequences
    pages_cached: int = 0  # kept for reuse; some of them are also in use
    steps: int = 0
    prompt_tokens: int = 0  # computed, recomputed ones included
    cached_tokens: int = 0  # prompt tokens that were not computed
    generated_tokens: int = 0
    accepted_drafts: int = 0
    rejected_drafts: int = 0
    preemptions: int = 0
    prefill_s: float = 0.0  # seconds of steps with prompt tokens in them
    decode_s: float = 0.0  # seconds of all other steps
    adapters: int = 0  # in memory now
    adapter_bytes: int = 0
    adapter_loads: int = 0
    adapter_evictions: int = 0

    def plus(self, other: EngineStats) -> EngineStats:
        """The figures of both together."""
        names = [field.name for field in fields(self)]
        return EngineStats(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def totals(self) -> EngineStats:
        """What stays true after the engine has ended: counts of now are 0."""
        now = ("running", "waiting", "pages_total", "pages_used", "pages_cached", "adapters", "adapter_bytes")
        return replace(self, **dict.fromkeys(now, 0))


@dataclass(slots=True)
class Counters:
    """Totals since the start, kept by the scheduler."""

    prompt_tokens: int = 0  # computed, recomputed ones included
    cached_tokens: int = 0  # prompt tokens found in the prefix tree at first admission
    generated_tokens: int = 0
    accepted_drafts: int = 0
    rejected_drafts: int = 0
    preemptions: int = 0


@dataclass(slots=True)
class Stopwatch:
    """Seconds and steps the decoder has run."""

    steps: int = 0
    prefill_s: float = 0.0
    decode_s: float = 0.0

    def add(self, steps: int, seconds: float, *, prefill: bool) -> None:
        self.steps += steps
        if prefill:
            self.prefill_s += seconds
        else:
            self.decode_s += seconds

    def snapshot(self, scheduler: Scheduler) -> EngineStats:
        """The figures at this moment; called by the engine's thread."""
        pool, counters = scheduler.cache.pool, scheduler.counters
        return EngineStats(
            running=len(scheduler.running),
            waiting=len(scheduler.waiting),
            pages_total=pool.num_pages,
            pages_used=pool.num_pages - pool.num_available,
            pages_cached=pool.num_cached,
            steps=self.steps,
            prompt_tokens=counters.prompt_tokens,
            cached_tokens=counters.cached_tokens,
            generated_tokens=counters.generated_tokens,
            accepted_drafts=counters.accepted_drafts,
            rejected_drafts=counters.rejected_drafts,
            preemptions=counters.preemptions,
            prefill_s=self.prefill_s,
            decode_s=self.decode_s,
        )
