"""How much a source of guesses is to be trusted, and the draft length that pays best at that.

Every next token a source expected is compared with the one that came, whether it was drafted or not, so trust
is measured where nothing is spent on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTHS = (1, 2, 3, 4, 5, 7, 9, 11, 15, 19, 23, 31, 47, 63)
MIN_GAIN = 1.15  # tokens per second with a draft against those without; less would be noise
STREAK_WEIGHT = 4.0  # the long-run rate counts as much as so many guesses of the run under way
NEW_WEIGHT = 1 / 16


class Acceptance:
    """The probability that the next guess is right: its run of right ones, tempered by the long-run rate."""

    def __init__(self, *, prior: float) -> None:
        self._rate = prior
        self._streak = 0

    def add(self, *, right: bool) -> None:
        self._rate += NEW_WEIGHT * (right - self._rate)
        self._streak = self._streak + 1 if right else 0

    @property
    def probability(self) -> float:
        return (self._streak + STREAK_WEIGHT * self._rate) / (self._streak + STREAK_WEIGHT)


def draft_length(probability: float, *, limit: int, rows: int, step_s: Callable[[int], float]) -> int:
    """The length, at most `limit`, that gives the most tokens per second; 0 if none is worth it.

    `rows` sequences run, and `step_s(k)` is the duration of a step in which this one drafts `k` tokens.
    """
    without = rows / step_s(0) if step_s(0) > 0 else 0.0
    best, most = 0, MIN_GAIN * without
    for length in LENGTHS:
        if length > limit:
            break
        wanted = (rows - 1 + _expected(probability, length)) / max(1e-9, step_s(length))
        if wanted > most:
            best, most = length, wanted
    return best


def _expected(probability: float, length: int) -> float:
    """Tokens that a row with a draft of this length yields on average."""
    if probability >= 1:
        return length + 1.0
    return float((1 - probability ** (length + 1)) / (1 - probability))
