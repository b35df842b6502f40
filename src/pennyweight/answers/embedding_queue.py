"""The encoder's thread: windows of waiting requests become vectors, a small batch at a time.

Batches are short (some 10 ms), so that a request that was cancelled, or a small one behind a large one, does
not wait long. They take turns with the engine's plans on the cores; `EmbeddingsWaiting` says who is next.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from pennyweight.answers.embedding_waiting import EmbeddingJob, EmbeddingsWaiting
from pennyweight.errors import EngineError, OverloadedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from pennyweight.answers.embedding_waiting import EncoderWork, Window
    from pennyweight.core import Priority
    from pennyweight.engine.core_turns import CoreTurns

MAX_WAITING_TOKENS = 600_000  # of people's requests, and as many of lines: neither fills the other's place
MAX_WAITING_REQUESTS = 256


class NativeEncoder(Protocol):
    """`_native.Encoder`."""

    @property
    def cpu_s(self) -> float: ...

    def encode(self, texts: Sequence[Sequence[int]]) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingStats:
    """Totals since the start: requests answered, tokens and seconds of the encoder's batches."""

    requests: int = 0
    tokens: int = 0
    seconds: float = 0.0


class EmbeddingQueue:
    """One encoder and the thread that drives it; `cores` says when."""

    def __init__(self, encoder: NativeEncoder, *, cores: CoreTurns) -> None:
        self._encoder = encoder
        self._cores = cores
        self._changed = threading.Condition()  # guards the two below
        self._waiting = EmbeddingsWaiting(batch_share=cores.batch_share)
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

    def put(self, windows: Sequence[tuple[int, ...]], *, priority: Priority = "interactive") -> EncoderWork:
        """The vectors of `windows` in order, float32, not normalised. Cancelling the future stops the work.

        Raises OverloadedError if too much of this priority waits already, EngineError once closed.
        """
        job = EmbeddingJob(windows=windows, priority=priority)
        with self._changed:
            if self._closed:
                raise EngineError("this encoder is closed; open another one")
            self._waiting.forget_cancelled()
            jobs, tokens = self._waiting.size(priority)
            too_many = tokens + job.num_waiting_tokens > MAX_WAITING_TOKENS or jobs >= MAX_WAITING_REQUESTS
            if jobs and too_many:
                raise OverloadedError(
                    f"{jobs} requests with {tokens} tokens wait for the encoder; try again later"
                )
            self._waiting.add(job)
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
            for job in self._waiting.clear():
                _settle(job.future, EngineError("the encoder was closed before it reached this request"))

    def _has_work(self) -> bool:
        """Blocks until a request waits; False once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return not self._closed

    def _encode_batch(self) -> tuple[list[Window], bytes]:
        """One turn on the cores, for what waits when it has come; an empty batch if nothing is left of it."""
        with self._cores.guest(lambda: self._waiting.priority):
            batch = self._next_batch()
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

    def _next_batch(self) -> list[Window]:
        with self._changed:
            return [] if self._closed else self._waiting.take()

    def _drop(self, job: EmbeddingJob, error: EngineError) -> None:
        with self._changed:
            self._waiting.drop(job)
        _settle(job.future, error)


def _charge(batch: list[Window], seconds: float) -> None:
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
