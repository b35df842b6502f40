"""Words as the text index has them, and what they are worth: BM25 over the stores that are searched.

Letters lose case and accents; scripts without blanks between words (Chinese, Japanese, Thai, ...) are cut
into pairs of characters. What is not short and ASCII is replaced by a hash, so that both databases keep and
find it unchanged. BM25: Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009.
"""

from __future__ import annotations

import math
import re
import unicodedata
from base64 import b32encode
from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

K1: Final = 1.2
B: Final = 0.75
_MAX_WORD_CHARS: Final = 32
_HASH_BYTES: Final = 8
_ACCENTS: Final = re.compile("[\u0300-\u036f]+")
# Vowels and points that belong to the letter before them; Python's \w has letters and digits alone.
_MARKS: Final = (
    "\u0483-\u0487\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0711\u0730-\u074a"
    "\u0900-\u0963\u0966-\u0df3\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ecd\u0f18-\u0f39\u0f71-\u0fbc"
    "\u102b-\u103e\u1056-\u109d\u135d-\u135f\u17b4-\u17d3\u1a17-\u1aff\u1b00-\u1bf3\u20d0-\u20f0\u3099\u309a"
    "\ua806-\ua827\ua8b4-\ua8c5\uabe3-\uabed"
)
_WORD: Final = re.compile(f"[\\w{_MARKS}]+")
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def words_of(text: str) -> Iterator[str]:
    """The words of `text` in order: short runs of `a-z0-9`, or hashes that look like them."""
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text)).replace("_", " ")
    plain = unicodedata.normalize("NFC", bare).casefold()
    if plain.isascii():
        for word in _WORD.findall(plain):
            yield _kept(word)
        return
    for word in _WORD.findall(plain):
        if _UNSPACED.search(word) is None:
            yield _kept(word)
        else:
            yield from map(_kept, _pairs(word))


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What each word of a query is worth; `mean_words`: of a chunk."""

    of_word: Mapping[str, float]
    mean_words: float

    @property
    def most(self) -> float:
        """What no chunk's score exceeds."""
        return (K1 + 1) * sum(self.of_word.values())

    def score(self, words: str, num_words: int) -> float:
        """BM25 of a chunk with these `words`, a blank between two."""
        length = K1 * (1 - B + B * num_words / self.mean_words)
        counts = Counter(words.split(" "))
        score = 0.0
        for word in self.of_word.keys() & counts.keys():
            score += self.of_word[word] * counts[word] * (K1 + 1) / (counts[word] + length)
        return score


def rarity(num_with: int, num_chunks: int) -> float:
    """Inverse document frequency, never negative."""
    num_with = min(num_with, num_chunks)
    return math.log(1 + (num_chunks - num_with + 0.5) / (num_with + 0.5))


def _pairs(word: str) -> Iterator[str]:
    start = 0
    for match in _UNSPACED.finditer(word):
        if word[start : match.start()]:
            yield word[start : match.start()]
        run = match[0]
        yield from (a + b for a, b in pairwise(run)) if len(run) > 1 else run
        start = match.end()
    if word[start:]:
        yield word[start:]


def _kept(word: str) -> str:
    if word.isascii() and len(word) <= _MAX_WORD_CHARS:
        return word
    digest = blake2b(word.encode(), digest_size=_HASH_BYTES).digest()
    return "z" + b32encode(digest).decode().rstrip("=").lower()
