"""The grammar of one choice, as the engine drives it: masks of a row, tokens taken, tokens leapt over.

Tokens that the grammar forces are taken without asking the model and computed together in the next step. The
text is the one that sampling under the masks gives, so whether a choice leaps is a matter of speed alone: one
that wants log-probabilities does not, and has the forced tokens checked as a draft instead.
"""

from __future__ import annotations

from itertools import islice, takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pennyweight.core import MaskProvider

MAX_LEAP = 48  # forced tokens taken at once; with a draft behind them the row stays within a page


class Grammar:
    """A `MaskProvider` and what it has forced. Whatever it raises, its own choice alone fails."""

    def __init__(self, provider: MaskProvider, *, end_tokens: frozenset[int], leaps: bool) -> None:
        self._provider = provider
        self._end_tokens = end_tokens
        self._leaps = leaps
        self._forced: list[int] = []

    def masks(self, draft: Sequence[int], mask_bytes: int) -> bytes:
        """The masks of a row with `draft`, one behind the other, each of `mask_bytes` bytes."""
        masks = self._provider.masks(draft) if draft else [self._provider.mask()]
        for mask in masks:
            if len(mask) != mask_bytes:
                raise ValueError(f"it has {len(mask)} bytes, the vocabulary needs {mask_bytes}")
        return masks[0] if len(masks) == 1 else b"".join(masks)

    def accept(self, tokens: Iterable[int]) -> None:
        """The sampler chose `tokens`; what is forced behind them waits for `take_forced`."""
        for token in tokens:
            if token in self._end_tokens:
                return
            self._provider.accept(token)
        # An end token is the sampler's to take.
        forced = takewhile(lambda token: token not in self._end_tokens, self._provider.forced())
        self._forced = list(islice(forced, MAX_LEAP))
        if self._leaps:
            for token in self._forced:
                self._provider.accept(token)

    def take_forced(self) -> list[int]:
        """Tokens the grammar has gone on by; handed out once."""
        if not self._leaps:
            return []
        forced, self._forced = self._forced, []
        return forced

    def propose(self, limit: int) -> tuple[int, ...]:
        """At most `limit` forced tokens for a choice that does not leap: a draft that is always right."""
        return () if self._leaps else tuple(self._forced[: max(0, limit)])
