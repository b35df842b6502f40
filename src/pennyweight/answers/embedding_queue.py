"""The encoder's thread: windows of waiting requests become vectors, a small batch at a time.

Batches are short (some 10 ms), so that a request that was cancelled, or a small one behind a large one, does
not wait long. They take turns with the engine's plans on the cores; requests take turns by batch.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from pennyweight.errors import EngineError, OverloadedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.engine.core_turns import CoreTurns

BATCH_TOKENS = 256
"""Rows of one batch: enough to fill the matrix products, and some 10 ms that running streams wait."""
MAX_WAITING_TOKENS = 600_000
MAX_WAITING_REQUESTS = 256


class NativeEncoder(Protocol):
    """`_native.Encoder`."""

    @property
    def cpu_s(self) -> float: ...

    def encode(self, texts: Sequence[Sequence[int]]) -> bytes: ...


class EncoderWork(Future[bytes]):
    """Vectors that will come; so far, `num_tokens` were encoded for them in `cpu_s` of processor time.

    A batch's time is shared by tokens.
    """

    cpu_s = 0.0
    num_tokens = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingStats:
    """Totals since the start: requests answered, tokens and seconds of the encoder's batches."""

    requests: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(slots=True, kw_only=True, eq=False)
class _Job:
    windows: Sequence[tuple[int, ...]]
    future: EncoderWork
    next: int = 0  # window to be encoded
    vectors: list[bytes] = field(default_factory=list)


_Window = tuple[_Job, int]  # the window of a job with this number


class EmbeddingQueue:
    """One encoder and the thread that drives it; `cores` says when."""

    def __init__(self, encoder: NativeEncoder, *, cores: CoreTurns) -> None:
        self._encoder = encoder
        self._cores = cores
        self._jobs: deque[_Job] = deque()
        self._waiting_tokens = 0
        self._changed = threading.Condition()
        self._closed = False
        self._stats = EmbeddingStats()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name="pennyweight-encoder", daemon=True)
        # A daemon thread that comes back from native code to an interpreter at its end aborts the process.
        atexit.register(self.close)
        self._thread.start()

    def stats(self) -> EmbeddingStats:
        """As of the last batch's end. From any thread."""
        return self._stats

    def put(self, windows: Sequence[tuple[int, ...]]) -> EncoderWork:
        """The vectors of `windows` in order, float32, not normalised. Cancelling the future stops the work.

        Raises OverloadedError if too much waits already, EngineError once closed.
        """
        tokens = sum(map(len, windows))
        job = _Job(windows=windows, future=EncoderWork())
        with self._changed:
            if self._closed:
                raise EngineError("this encoder is closed; open another one")
            self._forget_cancelled()
            waiting = self._waiting_tokens
            if self._jobs and (
                waiting + tokens > MAX_WAITING_TOKENS or len(self._jobs) >= MAX_WAITING_REQUESTS
            ):
                raise OverloadedError(
                    f"{len(self._jobs)} requests with {waiting} tokens wait for the encoder; try again later"
                )
            self._jobs.append(job)
            self._waiting_tokens += tokens
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Stop after the batch under way and end the thread; what waits fails. Harmless twice."""
        atexit.unregister(self.close)
        if os.getpid() != self._pid:
            return  # a fork has no thread to end, and may have copied the lock while it was held
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while self._has_work():
            batch, data = self._encode_batch()
            width = len(data) // max(1, len(batch))
            for place, (job, _) in enumerate(batch):
                job.vectors.append(data[place * width : (place + 1) * width])
            done = [job for job in {job for job, _ in batch} if len(job.vectors) == len(job.windows)]
            self._stats = replace(self._stats, requests=self._stats.requests + len(done))
            for job in done:
                if not job.future.cancelled():
                    _settle(job.future, b"".join(job.vectors))
        with self._changed:
            for job in self._jobs:
                _settle(job.future, EngineError("the encoder was closed before it reached this request"))
            self._jobs.clear()

    def _has_work(self) -> bool:
        """Blocks until a request waits; False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            return not self._closed

    def _encode_batch(self) -> tuple[list[_Window], bytes]:
        """One turn on the cores, for what waits when it has come; an empty batch if nothing is left of it."""
        with self._cores.guest():
            batch = self._fill()
            if not batch:
                return [], b""
            windows = [job.windows[index] for job, index in batch]
            started_s, before_s = time.monotonic(), self._encoder.cpu_s
            try:
                data = self._encoder.encode(windows)
                _charge(batch, self._encoder.cpu_s - before_s)
                self._count(sum(map(len, windows)), time.monotonic() - started_s)
                return batch, data
            except (MemoryError, RuntimeError, ValueError) as error:
                failure = EngineError(f"the encoder failed: {error}")
        for job in {job for job, _ in batch}:
            self._drop(job, failure)
        return [], b""

    def _count(self, tokens: int, seconds: float) -> None:
        stats = self._stats
        self._stats = replace(stats, tokens=stats.tokens + tokens, seconds=stats.seconds + seconds)

    def _fill(self) -> list[_Window]:
        """An equal share for each waiting request, at least one window, until the batch is full."""
        batch: list[_Window] = []
        with self._changed:
            if not self._closed:
                self._take(batch)
        return batch

    def _take(self, batch: list[_Window]) -> None:
        self._forget_cancelled()
        room, share = BATCH_TOKENS, BATCH_TOKENS // max(len(self._jobs), 1)
        for _ in range(len(self._jobs)):
            job, taken = self._jobs[0], 0
            while job.next < len(job.windows):
                size = len(job.windows[job.next])
                if (taken and taken + size > share) or (batch and size > room):
                    break
                batch.append((job, job.next))
                job.next += 1
                taken += size
                room -= size
                self._waiting_tokens -= size
            if not taken:
                return  # no room for it: it stays the first, and begins the next batch
            self._jobs.popleft()
            if job.next < len(job.windows):
                self._jobs.append(job)

    def _drop(self, job: _Job, error: EngineError) -> None:
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)
                self._forget(job)
        _settle(job.future, error)

    def _forget_cancelled(self) -> None:
        for job in [job for job in self._jobs if job.future.cancelled()]:
            self._jobs.remove(job)
            self._forget(job)

    def _forget(self, job: _Job) -> None:
        self._waiting_tokens -= sum(map(len, job.windows[job.next :]))
        job.next = len(job.windows)


def _charge(batch: list[_Window], seconds: float) -> None:
    total = sum(len(job.windows[index]) for job, index in batch)
    for job, index in batch:
        num_tokens = len(job.windows[index])
        job.future.num_tokens += num_tokens
        job.future.cpu_s += seconds * num_tokens / total


def _settle(future: Future[bytes], outcome: bytes | EngineError) -> None:
    """A future cancelled meanwhile takes no outcome: its owner is gone."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(outcome, EngineError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
