"""The masks of one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.core import MaskProvider
from pennyweight.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llguidance import LLMatcher


class GrammarMask(MaskProvider):
    """A grammar and how far the answer has come in it.

    Only tokens that keep the text completable are allowed, end tokens where it is complete. EngineError where
    the grammar outgrows its limits or no text can complete it any more: the answer then fails, it is never
    ended as if it were complete.
    """

    def __init__(self, matcher: LLMatcher, *, end_token_ids: frozenset[int], vocab_size: int) -> None:
        self._matcher = matcher
        self._ends = end_token_ids
        self._vocab_size = vocab_size

    @property
    def complete(self) -> bool:
        """Whether the answer may end here."""
        return self._matcher.is_accepting()

    def mask(self) -> bytes:
        mask = self._bitmask()
        # llguidance ends an answer it cannot go on with, by allowing the end tokens alone.
        if self._matcher.is_stopped() and not self._matcher.is_accepting():
            raise EngineError(f"the grammar cannot be continued: {reason(self._matcher)}")
        return mask[: 4 * ((self._vocab_size + 31) // 32)]  # it keeps a bit for a token that is none

    def accept(self, token: int) -> None:
        if not self._matcher.consume_token(token):
            raise self._refused(token)

    def _bitmask(self) -> bytes:
        return self._matcher.compute_bitmask()

    def _refused(self, token: int) -> EngineError:
        return EngineError(f"token {token} is not allowed by the grammar: {reason(self._matcher)}")

    def fork(self) -> GrammarMask:
        copy = self._matcher.deep_copy()
        return GrammarMask(copy, end_token_ids=self._ends, vocab_size=self._vocab_size)

    def forced(self) -> Sequence[int]:
        tokens = self._matcher.compute_ff_tokens()
        for index, token in enumerate(tokens):
            if token in self._ends:
                return tokens[:index]
        return tokens


def reason(matcher: LLMatcher) -> str:
    """The first line of llguidance's complaint, or why it stopped; the rest shows its inner state."""
    text = matcher.get_error() or matcher.stop_reason()
    if text.startswith("panic"):
        return "it is too large"
    return text.strip().splitlines()[0][:300] if text.strip() else "unknown"
