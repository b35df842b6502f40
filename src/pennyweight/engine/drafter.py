"""Which running sequences guess ahead in the next step, and how far.

A guess comes from the grammar (always right), from the request's prediction, or from what the text repeats of
itself. It is made where it is expected to pay: the learnt cost of a longer step against the measured
probability that the guess is right. The sampler checks every guess, so none of this can change a text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.engine.acceptance import draft_length

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pennyweight.engine.prediction import Prediction
    from pennyweight.engine.recurrence import Recurrence
    from pennyweight.engine.sequence import Sequence
    from pennyweight.engine.step_cost import StepCost

Drafts = dict["Sequence", tuple[int, ...]]

MAX_DRAFTED = 63  # drafted positions of a step: the decoder keeps a float32 row of the vocabulary for each
MAX_BESIDE_PROMPTS = 4  # guesses of a sequence in a step with prompts: each takes the place of a prompt token
MAX_ROWS = 8  # with more streams the step is full: a guess costs what it saves, and so does looking for one
PLAN_S = 2e-4  # what a plan of one step costs more than a step in a plan of many


class Drafter:
    """Asked before each plan, and while a plan of many steps runs whether another would be better."""

    def __init__(self, cost: StepCost, *, max_positions: int) -> None:
        self._cost = cost
        self._max_positions = max_positions

    def drafts(self, decoding: list[Sequence], *, beside_prompts: bool = False) -> Drafts:
        """Drafts of the sequences that are to have one; together at most MAX_DRAFTED tokens.

        Where the step computes prompts too, at most MAX_BESIDE_PROMPTS of a sequence are guesses.
        """
        tokens = sum(sequence.num_uncomputed for sequence in decoding)
        drafts: Drafts = {}
        left = MAX_DRAFTED
        most_guesses = MAX_BESIDE_PROMPTS if beside_prompts else MAX_DRAFTED
        for sequence in decoding:
            room = sequence.max_output(self._max_positions) - sequence.num_output - 1
            draft = self._draft(
                sequence, min(left, room), most_guesses=most_guesses, tokens=tokens, rows=len(decoding)
            )
            if draft:
                drafts[sequence] = draft
                tokens += len(draft)
                left -= len(draft)
        return drafts

    def would_draft(self, decoding: Iterable[Sequence]) -> bool:
        """Whether one of `decoding`, in a plan of many steps without drafts, would now be given one."""
        alive = [sequence for sequence in decoding if sequence.status == "running"]
        return bool(alive) and bool(self.drafts(alive))

    def _draft(
        self, sequence: Sequence, limit: int, *, most_guesses: int, tokens: int, rows: int
    ) -> tuple[int, ...]:
        forced = () if sequence.grammar is None else sequence.grammar.propose(limit)
        if forced or limit < 1:
            return forced
        source: Prediction | Recurrence = sequence.prediction
        if not source.propose(1):
            if rows > MAX_ROWS:
                return ()
            source = sequence.recurrence
            source.catch_up(sequence.tokens)
        guess = source.propose(min(limit, most_guesses))
        if not guess:
            return ()
        length = draft_length(
            source.probability,
            limit=len(guess),
            rows=rows,
            step_s=lambda k: self._cost.decode_s(tokens + k) + (PLAN_S if k else 0.0),
        )
        return sequence.until_end(guess[:length])
