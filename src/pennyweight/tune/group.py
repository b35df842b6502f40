"""Sequences that are trained in the same step and pack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pennyweight.tune.tokens import TokenSequence


@dataclass(frozen=True, slots=True)
class Group:
    """One sequence, or the two answers of a preference; `number` is that of the example they come from."""

    number: int
    sequences: tuple[TokenSequence, ...]

    @property
    def num_tokens(self) -> int:
        return sum(len(sequence.tokens) for sequence in self.sequences)

    @property
    def num_learnt(self) -> int:
        return sum(sequence.num_learnt for sequence in self.sequences)
