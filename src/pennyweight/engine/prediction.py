"""A predicted output (`Request.draft`) and how far the real output follows it.

Drafts never change the text: the sampler accepts a draft token only where it samples the same one. Where the
output leaves the prediction, it is taken up again as soon as the last few tokens occur in it, nearest to
where the output would be by now, or the last token alone just there: that is what an edited file looks like.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

from pennyweight.engine.acceptance import Acceptance

PRIOR = 0.9  # whoever sends a prediction believes in it
PRIOR_WEIGHT = 8  # as many tokens are worth the belief
RESYNC_TOKENS = 3  # as many equal tokens in a row mean that the output is back on the prediction
NEAR = 4  # positions from where the output would be: so near one equal token will do
SURE_TOKENS = 8  # followed for so long, a place is taken for the right one


class Prediction:
    """A cursor in the predicted tokens, moved by the tokens that were really generated."""

    def __init__(self, tokens: tuple[int, ...]) -> None:
        self._tokens = tokens
        self._held = bytearray(len(tokens))  # 1 for each token that the output holds
        self._cursor = 0
        self._following = bool(tokens)
        self._run = 0  # tokens followed since the last jump
        self._expected = 0  # where the output would be, going on from the last sure place
        self._acceptance = Acceptance(prior=PRIOR)
        self._right, self._wrong = 0, 0  # proposed tokens that came, and did not
        self._recent: deque[int] = deque(maxlen=RESYNC_TOKENS)
        self._ends: dict[tuple[int, ...], list[int]] = {}  # run of tokens -> positions just behind it
        for length in (1, RESYNC_TOKENS):
            for end in range(length, len(tokens) + 1):
                self._ends.setdefault(tokens[end - length : end], []).append(end)

    @property
    def num_accepted(self) -> int:
        """Predicted tokens that the output holds."""
        return sum(self._held)

    @property
    def probability(self) -> float:
        """That the first proposed token is right: by the run under way, and by how often such runs ended."""
        followed = (self._right + PRIOR_WEIGHT * PRIOR) / (self._right + self._wrong + PRIOR_WEIGHT)
        return min(self._acceptance.probability, followed)

    def propose(self, limit: int) -> tuple[int, ...]:
        """At most `limit` tokens expected next; none while the output goes its own way."""
        return self._tokens[self._cursor : self._cursor + max(0, limit)] if self._following else ()

    def accept(self, token: int) -> None:
        """The output continues with `token`."""
        if not self._tokens:
            return
        self._recent.append(token)
        self._expected += 1
        if self._following and self._cursor < len(self._tokens):
            right = self._tokens[self._cursor] == token
            self._acceptance.add(right=right)
            self._right += right
            self._wrong += not right
            if right:
                self._follow()
                return
        self._jump()

    def _follow(self) -> None:
        self._held[self._cursor] = 1
        self._cursor += 1
        self._run += 1
        if self._run >= SURE_TOKENS:
            self._expected = self._cursor

    def _jump(self) -> None:
        end, length = self._nearest(RESYNC_TOKENS), RESYNC_TOKENS
        if end is None and (near := self._nearest(1)) is not None and abs(near - self._expected) <= NEAR:
            end, length = near, 1
        self._following = end is not None
        if end is not None:
            self._cursor = end
            self._run = 0
            self._held[end - length : end] = bytes([1]) * length

    def _nearest(self, length: int) -> int | None:
        """Behind the last `length` tokens in the prediction, nearest to where the output would be."""
        # Rising, and very many where a text repeats itself.
        ends = self._ends.get(tuple(self._recent)[-length:], [])
        at = bisect_left(ends, self._expected)
        around = ends[max(0, at - 1) : at + 1]
        return min(around, key=lambda end: abs(end - self._expected), default=None)
