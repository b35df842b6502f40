"""Steps of grammars nobody vouches for, each bounded in time.

llguidance counts the items of a step between rows of its parser, never within one: a grammar that becomes
ambiguous late can spend minutes on a single row, whatever its limits are. It cannot be interrupted, so such
steps run on threads of their own, which release the interpreter; one that takes too long is left to itself
and its answer fails.
"""

from __future__ import annotations

import atexit
import threading
from typing import TYPE_CHECKING, Final, TypeVar

from pennyweight.errors import EngineError
from pennyweight.text.grammar.mask import GrammarMask

if TYPE_CHECKING:
    from collections.abc import Callable

    from llguidance import LLMatcher


class SlowStepError(EngineError):
    """A step that takes too long, or may not begin because others still do."""


T = TypeVar("T")
PATIENCE_S: Final = 0.5
"""A step takes well under a millisecond; the rest is for a busy machine. All streams wait with it."""
MOST_LEFT: Final = 2
"""Steps left to themselves at a time, each of which keeps a core busy; until one ends no other is begun."""

_FAREWELL_S: Final = 3.0  # that a process which ends waits for a step


class Watch:
    """Runs steps; shared by all grammars of a model."""

    def __init__(self, *, patience_s: float = PATIENCE_S) -> None:
        from llguidance import LLExecutor

        self.patience_s = patience_s  # of the steps to come
        self._executor = LLExecutor(num_threads=1)  # its `consume_token_par` releases the interpreter
        self._lock = threading.Lock()
        self._left: list[threading.Thread] = []

    def take(self, matcher: LLMatcher, token: int | None) -> bytes | None:
        """Take `token`, if there is one, and give the mask after it. None if it is not allowed.

        SlowStepError if that takes too long.
        """

        def step() -> bytes | None:
            if token is not None and not self._executor.consume_token_par([(matcher, token)])[0]:
                return None
            return matcher.compute_bitmask()

        return self._run(step)

    def _run(self, step: Callable[[], T]) -> T:
        results: list[T] = []
        thread = threading.Thread(target=lambda: results.append(step()), daemon=True)
        with self._lock:
            self._left = [other for other in self._left if other.is_alive()]
            if len(self._left) >= MOST_LEFT:
                raise SlowStepError("steps of other grammars still run that take too long; try again later")
        thread.start()
        thread.join(self.patience_s)
        if thread.is_alive():
            with self._lock:
                self._left.append(thread)
            # One that comes back while the interpreter is taken apart would end the process with a signal.
            atexit.register(thread.join, _FAREWELL_S)
            raise SlowStepError(
                f"a step of the grammar takes longer than {self.patience_s:g} s, so ambiguous is it here; "
                "write it with fewer ways to read the same text"
            )
        if not results:
            raise EngineError("it is too large")  # a panic, whose text is in the log
        return results[0]


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

    def accept(self, token: int) -> None:
        self._ready = self._watch.take(self._matcher, token)
        if self._ready is None:
            raise self._refused(token)

    def _bitmask(self) -> bytes:
        if self._ready is None:
            self._ready = self._watch.take(self._matcher, None)
            assert self._ready is not None  # no token was taken
        return self._ready
