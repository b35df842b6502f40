"""Prompt chunks of the next step: in turn, within the seconds the running streams can spare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.engine.plan import PlanRow
from pennyweight.engine.step_cost import GAP_S, MAX_CHUNK, MIN_CHUNK

if TYPE_CHECKING:
    from pennyweight.engine.limits import Limits
    from pennyweight.engine.sequence import Sequence
    from pennyweight.engine.step_cost import StepCost

MAX_SCORED = 64  # scored positions of a step: the decoder keeps a float32 row of the vocabulary for each


def prompt_rows(
    prefilling: list[Sequence],
    cost: StepCost,
    limits: Limits,
    *,
    decode_tokens: int,
    gap_s: float = GAP_S,
) -> list[PlanRow]:
    """Chunks of `prefilling` sequences beside `decode_tokens` others; at least MIN_CHUNK of the first.

    `gap_s` is wanted between two tokens of the others.
    """
    left_s = cost.prompt_budget_s(decode_tokens=decode_tokens, gap_s=gap_s)
    left, scorable = max(MIN_CHUNK, MAX_CHUNK - decode_tokens), MAX_SCORED
    rows: list[PlanRow] = []
    for sequence in sorted(prefilling, key=lambda s: s.turn):
        fitting = min(left, cost.chunk_tokens(left_s, start=sequence.num_computed))
        if not rows:
            fitting = max(MIN_CHUNK, fitting)
        scores = sequence.scores_prompt
        # Each scored position has a next token to score: the last one is left to a row of its own.
        num_tokens = min(scorable if scores else fitting, fitting, sequence.num_uncomputed - scores)
        if num_tokens == 0:
            continue
        left_s -= cost.prompt_s(start=sequence.num_computed, tokens=num_tokens)
        left -= num_tokens
        scorable -= num_tokens * scores
        last = num_tokens == sequence.num_uncomputed
        rows.append(
            PlanRow(
                sequence=sequence,
                num_tokens=num_tokens,
                samples=last and sequence.max_output(limits.max_positions) > 0,
                scores=scores,
                is_prompt=True,
                adapter=sequence.group.adapter,
            )
        )
        if left <= 0 or left_s <= 0:
            break
    return rows
