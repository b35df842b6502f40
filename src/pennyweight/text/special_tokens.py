"""Finding control tokens and literal tokens in a prompt, before the rest is tokenised.

Leftmost match wins, then the longest. A control token counts only where its whole text is trusted, so that
nothing a user writes, alone or together with the template's text around it, can become one.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pennyweight.text.prompt import PromptPart
    from pennyweight.text.vocabulary import Vocabulary


class SpecialTokens:
    """The matcher of one vocabulary.

    `strip_left` and `strip_right` tokens swallow the blanks before and behind them.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        strip_left: frozenset[int] = frozenset(),
        strip_right: frozenset[int] = frozenset(),
    ) -> None:
        self._control = _by_text(vocabulary, vocabulary.control)
        self._literal = _by_text(vocabulary, vocabulary.literal)
        self._strip_left = strip_left
        self._strip_right = strip_right
        lengths: dict[str, set[int]] = {}
        for text in (*self._control, *self._literal):
            lengths.setdefault(text[:2], set()).add(len(text))
        self._lengths = {head: sorted(sizes, reverse=True) for head, sizes in lengths.items()}
        heads = sorted(self._lengths, key=len, reverse=True)
        self._head = re.compile("|".join(map(re.escape, heads))) if heads else None

    @property
    def control(self) -> Mapping[str, int]:
        return self._control

    def split(self, parts: Sequence[PromptPart]) -> Iterator[str | int]:
        """Alternating plain text (never empty) and ids of matched tokens, in order."""
        text = "".join(part.text for part in parts)
        trusted = _Trusted(parts)
        start = position = 0
        while self._head is not None and (head := self._head.search(text, position)):
            token, end = self._match(text, head.start(), trusted)
            if token is None:
                position = head.start() + 1
                continue
            plain = text[start : head.start()]
            if token in self._strip_left:
                plain = plain.rstrip()
            if plain:
                yield plain
            yield token
            if token in self._strip_right:
                end += len(text) - end - len(text[end:].lstrip())
            start = position = end
        if start < len(text):
            yield text[start:]

    def _match(self, text: str, start: int, trusted: _Trusted) -> tuple[int | None, int]:
        """The longest token that may stand at `start`, and where it ends."""
        for head in (text[start : start + 2], text[start : start + 1]):
            for length in self._lengths.get(head, ()):
                candidate = text[start : start + length]
                if candidate in self._literal:
                    return self._literal[candidate], start + length
                if candidate in self._control and trusted.covers(start, start + length):
                    return self._control[candidate], start + length
        return None, start


class _Trusted:
    """The trusted stretches of a prompt; neighbours count as one."""

    def __init__(self, parts: Sequence[PromptPart]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        end = 0
        for part in parts:
            start, end = end, end + len(part.text)
            if not part.trusted or start == end:
                continue
            if self._ends and self._ends[-1] == start:
                self._ends[-1] = end
            else:
                self._starts.append(start)
                self._ends.append(end)

    def covers(self, start: int, end: int) -> bool:
        index = bisect_right(self._starts, start) - 1
        return index >= 0 and end <= self._ends[index]


def _by_text(vocabulary: Vocabulary, ids: frozenset[int]) -> dict[str, int]:
    return {vocabulary.texts[i]: i for i in sorted(ids)}
