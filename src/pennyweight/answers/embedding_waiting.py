"""Requests that wait for the encoder, and whose windows are in its next batch.

People's requests go first, and what a batch of the encoder has room for beside them is for lines of batches.
While people keep those waiting, lines are owed their share of the tokens, and what is owed is paid in whole
windows. Within each of the two, every request gets an equal part. Counted in tokens: no clock decides.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.core import Priority

BATCH_TOKENS = 256
"""Rows of one batch: enough to fill the matrix products, and some 10 ms that running streams wait."""


class EncoderWork(Future[bytes]):
    """Vectors that will come; so far, `num_tokens` were encoded for them in `cpu_s` of processor time.

    A batch's time is shared by tokens.
    """

    cpu_s = 0.0
    num_tokens = 0


@dataclass(slots=True, kw_only=True, eq=False)
class EmbeddingJob:
    """One request: its windows, the next to be encoded, and the vectors there are."""

    windows: Sequence[tuple[int, ...]]
    priority: Priority = "interactive"
    future: EncoderWork = field(default_factory=EncoderWork)
    next: int = 0
    vectors: list[bytes] = field(default_factory=list)

    @property
    def num_waiting_tokens(self) -> int:
        """Of the windows nobody has taken yet."""
        return sum(map(len, self.windows[self.next :]))


Window = tuple[EmbeddingJob, int]  # the window of a job with this number


class EmbeddingsWaiting:
    """Used by one thread at a time: the caller has the lock."""

    def __init__(self, *, batch_share: float) -> None:
        """`batch_share`, from 0 to below 1: the part of the tokens that lines get although people wait."""
        self._share = batch_share
        self._jobs: dict[Priority, deque[EmbeddingJob]] = {"interactive": deque(), "batch": deque()}
        self._tokens: dict[Priority, int] = {"interactive": 0, "batch": 0}
        self._owed = 0.0  # tokens; below 0: what was paid in advance, as windows are whole

    def __bool__(self) -> bool:
        return any(self._jobs.values())

    @property
    def priority(self) -> Priority:
        """On whose behalf the encoder works next. Also without the lock."""
        return "interactive" if self._jobs["interactive"] else "batch"

    def size(self, priority: Priority) -> tuple[int, int]:
        """Requests that wait, and their tokens."""
        return len(self._jobs[priority]), self._tokens[priority]

    def add(self, job: EmbeddingJob) -> None:
        """Behind all of its kind."""
        self._jobs[job.priority].append(job)
        self._tokens[job.priority] += job.num_waiting_tokens

    def drop(self, job: EmbeddingJob) -> None:
        """It waits no longer, if it does."""
        if job in self._jobs[job.priority]:
            self._jobs[job.priority].remove(job)
            self._tokens[job.priority] -= job.num_waiting_tokens
            job.next = len(job.windows)

    def clear(self) -> list[EmbeddingJob]:
        """All that waited."""
        jobs = [job for jobs in self._jobs.values() for job in jobs]
        for job in jobs:
            self.drop(job)
        return jobs

    def forget_cancelled(self) -> None:
        """Drop what nobody wants any more."""
        for jobs in self._jobs.values():
            for job in [job for job in jobs if job.future.cancelled()]:
                self.drop(job)

    def take(self) -> list[Window]:
        """The next batch: at least one window if any request waits, and as many as fit."""
        self.forget_cancelled()
        people, lines = self._jobs["interactive"], self._jobs["batch"]
        if not people or not lines:
            self._owed = 0.0
        batch: list[Window] = []
        while lines and BATCH_TOKENS - _room(batch) < self._owed:
            self._take_window(lines[0], batch)
        self._fill(people, batch)
        if not people:
            self._fill(lines, batch)
        if lines:
            self._account(batch)
        return batch

    def _account(self, batch: list[Window]) -> None:
        """Lines wait on: they are owed their share of this batch, less what they had of it."""
        sizes = [(job.priority, len(job.windows[index])) for job, index in batch]
        for_lines = sum(size for priority, size in sizes if priority == "batch")
        owed = self._owed + self._share * sum(size for _, size in sizes) - for_lines
        self._owed = min(owed, float(BATCH_TOKENS))

    def _fill(self, jobs: deque[EmbeddingJob], batch: list[Window]) -> None:
        """An equal part for each of `jobs`, at least one window, until the batch is full."""
        share = BATCH_TOKENS // max(len(jobs), 1)
        for _ in range(len(jobs)):
            job, taken = jobs[0], 0
            while job.next < len(job.windows):
                size = len(job.windows[job.next])
                if (taken and taken + size > share) or (batch and size > _room(batch)):
                    break
                taken += size
                self._take_window(job, batch)
            if not taken:
                return  # no room for it: it stays the first, and begins the next batch
            if jobs and jobs[0] is job:
                jobs.rotate(-1)

    def _take_window(self, job: EmbeddingJob, batch: list[Window]) -> None:
        batch.append((job, job.next))
        self._tokens[job.priority] -= len(job.windows[job.next])
        job.next += 1
        if job.next == len(job.windows):
            self._jobs[job.priority].remove(job)


def _room(batch: Sequence[Window]) -> int:
    return BATCH_TOKENS - sum(len(job.windows[index]) for job, index in batch)
