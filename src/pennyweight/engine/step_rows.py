"""How many rows a step may have: memory for the largest is set aside before the engine starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.engine.drafter import MAX_DRAFTED
from pennyweight.engine.prompt_chunks import MAX_SCORED
from pennyweight.engine.step_cost import MAX_CHUNK, MIN_CHUNK

if TYPE_CHECKING:
    from pennyweight.engine.sequence import Sequence

MAX_STEP_ROWS = MAX_CHUNK + MAX_DRAFTED + MIN_CHUNK
"""Decode rows and prompt chunks share MAX_CHUNK; drafts and the least chunk of a prompt come on top."""


def max_logit_rows(max_running: int) -> int:
    """Positions of a step whose logits are kept: one of each sequence, and all drafted and scored ones."""
    return max_running + MAX_DRAFTED + MAX_SCORED


def within_step(decoding: list[Sequence]) -> list[Sequence]:
    """Those of `decoding`, in their order, that fit a step: many leaping over forced tokens may not."""
    left = MAX_CHUNK
    fitting = []
    for sequence in decoding:
        if sequence.num_uncomputed <= left:
            left -= sequence.num_uncomputed
            fitting.append(sequence)
    return fitting
