"""A text becomes chunks: whole paragraphs where they fit, else whole sentences, else runs of words.

Sizes are counted in the encoder's tokens, so that a chunk is what one vector can stand for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pennyweight.store.vector_store import StaticChunking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    CountTokens = Callable[[str], int]

_OVERLAP_PART: Final = 8  # of a chunk, where the encoder decides
_ENOUGH_PART: Final = 2  # of a chunk: rather than splitting the next paragraph, it ends here
_PARAGRAPH: Final = re.compile(r"\n[ \t]*\n\s*")
_SENTENCE: Final = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+|(?<=[。！？।])|\n\s*")
_WORD: Final = re.compile(r"\S+\s*")


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    num_tokens: int


def automatic(window: int) -> StaticChunking:
    """For an encoder that reads `window` tokens at a time."""
    return StaticChunking(max_tokens=window, overlap_tokens=window // _OVERLAP_PART)


def chunks_of(text: str, sizes: StaticChunking, count_tokens: CountTokens) -> Iterator[str]:
    """No chunk is empty, or has more than `sizes.max_tokens`; together they have all of the text."""
    held: list[_Sentence] = []
    size = fresh = 0  # tokens in `held`, and sentences there that no chunk has yet
    for paragraph in _paragraphs(text, sizes.max_tokens, count_tokens):
        whole = sum(sentence.num_tokens for sentence in paragraph)
        enough = size * _ENOUGH_PART >= sizes.max_tokens
        if fresh and enough and size + whole > sizes.max_tokens:
            yield _joined(held)
            held, fresh = _tail(held, sizes.overlap_tokens), 0
            size = sum(sentence.num_tokens for sentence in held)
        for sentence in paragraph:
            if fresh and size + sentence.num_tokens > sizes.max_tokens:
                yield _joined(held)
                held, fresh = _tail(held, sizes.overlap_tokens), 0
                size = sum(one.num_tokens for one in held)
            while held and not fresh and size + sentence.num_tokens > sizes.max_tokens:
                size -= held.pop(0).num_tokens  # what is shared makes room for what is new
            held.append(sentence)
            size += sentence.num_tokens
            fresh += 1
    if fresh:
        yield _joined(held)


def _tail(held: list[_Sentence], most: int) -> list[_Sentence]:
    """The last sentences, of at most `most` tokens together."""
    size, start = 0, len(held)
    while start and size + held[start - 1].num_tokens <= most:
        start -= 1
        size += held[start].num_tokens
    return held[start:]


def _joined(sentences: list[_Sentence]) -> str:
    return "".join(one.text for one in sentences).strip()


def _paragraphs(document: str, most: int, count_tokens: CountTokens) -> Iterator[list[_Sentence]]:
    for paragraph in _split(_PARAGRAPH, document):
        parts = [
            piece
            for sentence in _split(_SENTENCE, paragraph)
            for piece in _pieces(sentence, most, count_tokens)
        ]
        if parts:
            yield [_Sentence(text, size) for text, size in parts]


def _split(boundary: re.Pattern[str], text: str) -> Iterator[str]:
    """Between boundaries, each part with the boundary behind it."""
    start = 0
    for match in boundary.finditer(text):
        if match.end() > start and text[start : match.end()].strip():
            yield text[start : match.end()]
            start = match.end()
    if text[start:].strip():
        yield text[start:]


def _pieces(sentence: str, most: int, count_tokens: CountTokens) -> Iterator[tuple[str, int]]:
    """The sentence if it fits, else runs of its words; a word that does not fit is halved until it does."""
    size = count_tokens(sentence)
    if size <= most:
        yield sentence, size
        return
    run, run_size = "", 0
    for word in _WORD.findall(sentence):
        for part in _halves(word, most, count_tokens):
            part_size = count_tokens(part)
            if run and run_size + part_size > most:
                yield run, run_size
                run, run_size = "", 0
            run += part
            run_size += part_size
    if run:
        yield run, run_size


def _halves(word: str, most: int, count_tokens: CountTokens) -> Iterator[str]:
    if len(word) < 2 or count_tokens(word) <= most:
        yield word
        return
    middle = len(word) // 2
    for half in (word[:middle], word[middle:]):
        yield from _halves(half, most, count_tokens)
