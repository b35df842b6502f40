"""Which sentences of an answer a passage supports: by the words they share, never by what the model claims.

A sentence is supported by the passage that has most of its content words, if that are at least
`MIN_SHARE` of their letters and `MIN_WORDS` words; `docs/benchmarks.md` has the measurement behind that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pennyweight.answers.passages import Citation
from pennyweight.retrieval.words import words_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pennyweight.answers.passages import Passage

MIN_SHARE: Final = 0.6
MIN_WORDS: Final = 2
_CONTENT_CHARS: Final = 4  # of a word, or a digit in it: shorter words say little
_SENTENCE_END: Final = re.compile(r"[.!?…]+[\"'”’»)\]]*(?=\s|$)|[。！？।]+|\n+|$")


def cite(answer: str, passages: Sequence[Passage], *, min_share: float = MIN_SHARE) -> list[Citation]:
    """One citation at most for each sentence, at its end, in order."""
    known = [(passage, _content(passage.text)) for passage in passages]
    found = []
    for end, sentence in _sentences(answer):
        wanted = _content(sentence)
        if not wanted or not known:
            continue
        passage, shared = max(
            ((passage, wanted & words) for passage, words in known), key=lambda pair: _weight(pair[1])
        )
        if len(shared) >= MIN_WORDS and _weight(shared) >= min_share * _weight(wanted):
            found.append(Citation(index=end, passage=passage))
    return found


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    """Every sentence with the place where it ends, trailing blanks left out."""
    start = 0
    for match in _SENTENCE_END.finditer(text):
        sentence = text[start : match.end()]
        if sentence.strip():
            yield start + len(sentence.rstrip()), sentence
        start = match.end()


def _content(text: str) -> frozenset[str]:
    return frozenset(word for word in words_of(text) if len(word) >= _CONTENT_CHARS or word.isdigit())


def _weight(words: frozenset[str]) -> int:
    """Letters: long words say more than short ones."""
    return sum(map(len, words))
