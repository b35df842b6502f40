"""Steps of grammars that may be slow, each bounded in time.

llguidance counts the items of a step between rows of its parser, never within one: a grammar that becomes
ambiguous late can spend minutes on a single row, whatever its limits are. It cannot be interrupted, so such
steps run on threads of their own, which release the interpreter; one that takes too long is left to itself
and its answer fails.
"""

from __future__ import annotations

import atexit
import queue
import threading
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from pennyweight.errors import EngineError, OverloadedError
from pennyweight.text.grammar.mask import GrammarMask

if TYPE_CHECKING:
    from collections.abc import Callable

    from llguidance import LLMatcher

PATIENCE_S: Final = 0.5
"""A step takes well under a millisecond; the rest is for a busy machine. All streams wait with it."""
FIRST_PATIENCE_S: Final = 5.0
MOST_LEFT: Final = 2
"""Steps left to themselves at a time, each of which keeps a core busy; until one ends no other is begun."""
_FAREWELL_S: Final = 3.0  # that a process which ends waits for a step

T = TypeVar("T")


class SlowStepError(EngineError):
    """A step that takes too long."""


class Watch:
    """Runs steps; shared by all grammars of a model."""

    def __init__(self, *, patience_s: float = PATIENCE_S) -> None:
        from llguidance import LLExecutor

        self.patience_s = patience_s  # of the steps to come
        self._executor = LLExecutor(num_threads=1)  # its `consume_token_par` releases the interpreter
        self._lock = threading.Lock()
        self._idle: list[_Worker[bytes | None]] = []
        self._left: list[_Worker[bytes | None]] = []

    def __del__(self) -> None:
        for worker in self._idle:
            worker.end()

    def take(self, matcher: LLMatcher, token: int | None) -> bytes | None:
        """Take `token`, if there is one, and give the mask after it. None if it is not allowed.

        SlowStepError if that takes too long, OverloadedError if it may not begin.
        """

        def step() -> bytes | None:
            if token is not None and not self._executor.consume_token_par([(matcher, token)])[0]:
                return None
            return matcher.compute_bitmask()

        return self._run(step, self.patience_s)

    def begin(self, matcher: LLMatcher) -> bytes | None:
        """The first mask, for which nobody else waits; its grammar is compiled by it in good part."""
        return self._run(matcher.compute_bitmask, max(self.patience_s, FIRST_PATIENCE_S))

    def _run(self, step: Callable[[], bytes | None], patience_s: float) -> bytes | None:
        with self._lock:
            self._left = [worker for worker in self._left if worker.is_busy]
            if len(self._left) >= MOST_LEFT:
                raise OverloadedError("steps of other grammars still run that take too long; try again later")
            worker = self._idle.pop() if self._idle else _Worker()
        try:
            result = worker.run(step, patience_s)
        except queue.Empty:
            with self._lock:
                self._left.append(worker)
            worker.leave()
            raise SlowStepError(
                f"a step of the grammar takes longer than {patience_s:g} s, so ambiguous is it here; "
                "write it with fewer ways to read the same text"
            ) from None
        with self._lock:
            self._idle.append(worker)
        return result


class _Worker(Generic[T]):
    """One thread, for one step at a time."""

    def __init__(self) -> None:
        self._steps: queue.SimpleQueue[Callable[[], T] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[T] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Of one that was left: whether its step still runs."""
        return self._thread.is_alive()

    def run(self, step: Callable[[], T], patience_s: float) -> T:
        """Raises `queue.Empty` if `step` takes longer."""
        self._steps.put(step)
        return self._results.get(timeout=patience_s)

    def leave(self) -> None:
        """It ends with the step that it runs."""
        self.end()
        # One that comes back while the interpreter is taken apart would end the process with a signal.
        atexit.register(self._thread.join, _FAREWELL_S)

    def end(self) -> None:
        """It ends when it has nothing to do."""
        self._steps.put(None)

    def _work(self) -> None:
        while (step := self._steps.get()) is not None:
            self._results.put(step())
            del step  # it holds a matcher


class WatchedMask(GrammarMask):
    """A `GrammarMask` whose steps are watched: the mask after a token is computed when the token is taken."""

    def __init__(
        self, matcher: LLMatcher, watch: Watch, *, end_token_ids: frozenset[int], vocab_size: int
    ) -> None:
        super().__init__(matcher, end_token_ids=end_token_ids, vocab_size=vocab_size)
        self._watch = watch
        self._ready: bytes | None = None  # the mask of the present state

    def fork(self) -> WatchedMask:
        copy = WatchedMask(
            self._matcher.deep_copy(), self._watch, end_token_ids=self._ends, vocab_size=self._vocab_size
        )
        copy._ready = self._ready
        return copy

    def begin(self) -> None:
        """Compute the mask of an answer's beginning, before there is an answer."""
        self._ready = self._watch.begin(self._matcher)

    def accept(self, token: int) -> None:
        self._ready = self._watch.take(self._matcher, token)
        if self._ready is None:
            raise self._refused(token)

    def _bitmask(self) -> bytes:
        if self._ready is None:
            self._ready = self._watch.take(self._matcher, None)
            assert self._ready is not None  # no token was taken
        return self._ready
