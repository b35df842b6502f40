"""A predicted output (`Request.draft`) and how far the real output follows it.

Drafts never change the text: the sampler accepts a draft token only where it samples the same one. Where the
output leaves the prediction, it is taken up again as soon as the last few tokens occur later in it, which is
what an edited file looks like.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

RESYNC_TOKENS = 4  # as many equal tokens in a row mean that the output is back on the prediction


class Prediction:
    """A cursor in the predicted tokens, moved by the tokens that were really generated."""

    def __init__(self, tokens: tuple[int, ...]) -> None:
        self._tokens = tokens
        self._cursor = 0
        self._following = True
        self._recent: deque[int] = deque(maxlen=RESYNC_TOKENS)
        self._ends: dict[tuple[int, ...], list[int]] = {}  # run of tokens -> positions just behind it
        for end in range(RESYNC_TOKENS, len(tokens) + 1):
            self._ends.setdefault(tokens[end - RESYNC_TOKENS : end], []).append(end)

    def propose(self, limit: int) -> tuple[int, ...]:
        """At most `limit` tokens expected next; none while the output goes its own way."""
        return self._tokens[self._cursor : self._cursor + max(0, limit)] if self._following else ()

    @property
    def may_resume(self) -> bool:
        """The output has left the prediction and could come back to it."""
        return not self._following and self._cursor < len(self._tokens)

    def accept(self, token: int) -> None:
        """The output continues with `token`."""
        self._recent.append(token)
        if self._following and self._tokens[self._cursor : self._cursor + 1] == (token,):
            self._cursor += 1
            return
        ends = self._ends.get(tuple(self._recent), [])
        later = bisect_left(ends, self._cursor)
        self._following = later < len(ends)
        if self._following:
            self._cursor = ends[later]
