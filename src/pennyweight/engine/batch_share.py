"""Batch work runs when nobody else wants the engine, and gets a stated share of its time when they do.

While interactive requests keep batch ones from a step, the share of that step is owed to batch work. What is
owed is paid by promotion: one batch sequence at a time is treated as the interactive request it would have
been, and keeps its place until it has ended, so that what it computed is not lost to the next arrival.
Seconds are those of the cost model; a share of what is estimated is the same share of what is measured.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence as Items

    from pennyweight.engine.plan import PlanRow
    from pennyweight.engine.sequence import Sequence
    from pennyweight.engine.step_cost import StepCost

MOST_OWED_S = 0.25  # what a busy time may pile up: batch work comes a little at a time, not in a flood
LEAST_WEIGHT = 1e-3  # of an engine with batch work alone, although batch work may starve
MOST_LENT_S = 60.0  # a promoted line longer than that is forgiven the rest


class BatchShare:
    """What batch work is owed, in seconds of the engine; below 0, what promoted work took in advance."""

    def __init__(self, share: float, cost: StepCost) -> None:
        """`share` is from 0 (batch work may starve) to below 1."""
        self._share = share
        self._cost = cost
        self._owed_s = 0.0

    def weight(self, running: Items[Sequence], waiting: Items[Sequence]) -> float:
        """Beside engines with interactive work, one with batch work alone gets batch work's share.

        `waiting` is in order of turns.
        """
        first = waiting[:2]  # what waits without being promoted comes behind one that was
        if any(not s.is_batch for s in running) or any(not s.is_batch for s in first):
            return 1.0
        return max(self._share / (1 - self._share), LEAST_WEIGHT)

    def promote(self, running: Items[Sequence], waiting: list[Sequence]) -> None:
        """Let the oldest batch sequence go before interactive ones if its kind is owed time.

        `waiting` is in order of turns, and stays so.
        """
        if self._owed_s <= 0 or (waiting and waiting[0].promoted):
            return  # nothing is owed, or one that was promoted has yet to begin
        juniors = [s for s in running if s.is_junior] or [s for s in waiting if s.is_junior]
        if not juniors:
            return
        chosen = min(juniors, key=_turn)
        waits = chosen.status == "waiting"
        if waits:
            waiting.remove(chosen)
        chosen.promote()
        if waits:
            insort(waiting, chosen, key=_turn)

    def account(
        self,
        rows: Items[PlanRow],
        running: Items[Sequence],
        waiting: Items[Sequence],
        *,
        decode_tokens: int,
    ) -> None:
        """The next step has `rows`. If they keep a batch sequence waiting, that is written down."""
        if not _holds_batch_back(rows, running, waiting):
            return
        each_s = self._cost.decode_s(decode_tokens) / max(1, decode_tokens)
        step_s = promoted_s = junior_s = 0.0
        for row in rows:
            seconds = self._row_s(row, each_s)
            step_s += seconds
            if row.sequence.is_junior:
                junior_s += seconds
            elif row.sequence.is_batch:
                promoted_s += seconds
        owed_s = max(self._owed_s + self._share * step_s - promoted_s, -MOST_LENT_S)
        if owed_s > 0:  # what batch work gets because there is room counts, but never becomes a debt
            owed_s = max(0.0, owed_s - junior_s)
        self._owed_s = min(owed_s, MOST_OWED_S)

    def _row_s(self, row: PlanRow, each_s: float) -> float:
        if row.is_prompt:
            return self._cost.prompt_s(start=row.sequence.num_computed, tokens=row.num_tokens)
        return each_s * (row.num_tokens + len(row.draft))


def _holds_batch_back(rows: Items[PlanRow], running: Items[Sequence], waiting: Items[Sequence]) -> bool:
    """Whether a batch sequence has no row although an interactive one has. `waiting` is in order of turns."""
    if all(row.sequence.is_batch for row in rows):
        return False
    if waiting and (waiting[-1].is_junior or waiting[0].promoted):
        return True
    if len(rows) == len(running):
        return False
    planned = {row.sequence for row in rows}
    return any(s.is_batch and s not in planned for s in running)


def _turn(sequence: Sequence) -> tuple[bool, float, int, int]:
    return sequence.turn
