"""What a text repeats of itself: where its last tokens stood before, it probably goes on as it did there.

Prompt lookup (https://github.com/apoorvumang/prompt-lookup-decoding) with one difference: it is followed in
silence first, and only what has been right so far becomes a draft, so ordinary text pays nothing for it.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from pennyweight.engine.acceptance import Acceptance

if TYPE_CHECKING:
    from collections.abc import Sequence

MATCH_TOKENS = 3  # as many equal tokens in a row are worth following
WINDOW_TOKENS = 16_384  # how far back a match is looked for: 7 microseconds of search
MAX_UNSEEN = 256  # after a longer pause the text is taken in without measuring
PRIOR = 0.3


class Recurrence:
    """A cursor in the text so far, moved by the tokens that were really generated."""

    def __init__(self) -> None:
        self._acceptance = Acceptance(prior=PRIOR)
        self._text = array("I")
        self._cursor: int | None = None  # index of the token expected next

    @property
    def probability(self) -> float:
        """That the first proposed token is right."""
        return self._acceptance.probability

    def catch_up(self, tokens: Sequence[int]) -> None:
        """Follow the text, which has grown to `tokens`."""
        if len(tokens) - len(self._text) > MAX_UNSEEN:
            self._text.extend(tokens[len(self._text) :])
            self._cursor = self._find()
            return
        for token in tokens[len(self._text) :]:
            self._accept(token)

    def propose(self, limit: int) -> tuple[int, ...]:
        """At most `limit` tokens expected next: what followed before, over and over if it reaches the end."""
        if self._cursor is None or limit < 1:
            return ()
        found = self._text[self._cursor : self._cursor + limit]
        while len(found) < limit:
            found.extend(found[: limit - len(found)])
        return tuple(found)

    def _accept(self, token: int) -> None:
        right = False
        if self._cursor is not None:
            right = self._text[self._cursor] == token
            self._acceptance.add(right=right)
        self._text.append(token)
        if right and self._cursor is not None:
            self._cursor += 1
        else:
            self._cursor = self._find()

    def _find(self) -> int | None:
        """Behind the latest earlier occurrence of the last tokens."""
        if len(self._text) <= MATCH_TOKENS:
            return None
        window = self._text[-WINDOW_TOKENS:].tobytes()
        size = self._text.itemsize
        wanted = window[-MATCH_TOKENS * size :]
        at = window.rfind(wanted, 0, len(window) - size)
        while at >= 0 and at % size:  # bytes that are alike across the borders of tokens
            at = window.rfind(wanted, 0, at + len(wanted) - 1)
        if at < 0:
            return None
        return max(0, len(self._text) - WINDOW_TOKENS) + at // size + MATCH_TOKENS
