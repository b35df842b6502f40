"""SentencePiece's BPE: neighbours merge into the best-scored token, leftmost first, until none is left.

Written here rather than put on the `tokenizers` library: that needs every split of every token as an explicit
merge, 2.2 s for Gemma's 262,144 tokens, against 0.2 s for two dictionaries. Words repeat, so with a cache of
them encoding is about as fast. Source: https://github.com/google/sentencepiece (bpe_model.cc).
"""

from __future__ import annotations

import heapq
import re
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from pennyweight.errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pennyweight.text.tokenizer import Before
    from pennyweight.text.vocabulary import Vocabulary

T = TypeVar("T")
SPACE = "▁"
_CACHED_WORDS = 1 << 15
_CACHED_WORD_CHARS = 32
_MAX_CROSSING = 64
_PIECE = 1 << 13  # tokens: a millisecond or two
_SCAN_SYMBOLS = 24  # below this, scanning all pairs beats keeping a heap


class SentencePieceModel:
    """Text to ids and ids to bytes for vocabularies of GGUF's model `llama`."""

    shrinks = False

    def __init__(self, vocabulary: Vocabulary, *, space_prefix: bool = True) -> None:
        if not any(vocabulary.scores):
            raise ModelFileError("tokenizer.ggml.scores is missing: a SentencePiece vocabulary needs them.")
        self._vocabulary = vocabulary
        self._space_prefix = space_prefix
        self._ids = _table(vocabulary.texts, range(len(vocabulary)))
        self._scores = _table(vocabulary.texts, vocabulary.scores)
        for token in vocabulary.unmergeable:
            self._ids.pop(vocabulary.texts[token], None)
            self._scores.pop(vocabulary.texts[token], None)
        self._byte_ids = _byte_ids(vocabulary)
        self._words = _word_pattern(self._ids)
        self._cache: dict[str, list[int]] = {}

    def encode(self, text: str, *, before: Before) -> list[int]:
        """Ids of `text`, which gets the model's space prefix at the start and after every special token."""
        if before != "text" and self._space_prefix:
            text = " " + text
        ids: list[int] = []
        for word in self._words.findall(text.replace(" ", SPACE)):
            cached = self._cache.get(word)
            if cached is None:
                cached = self._encode_word(word)
            ids += cached
        return ids

    @property
    def strips_space(self) -> bool:
        """Whether decoding drops the one space that encoding puts in front."""
        return self._space_prefix

    def token_bytes(self, token: int) -> bytes:
        text = self._vocabulary.texts[token]
        if token in self._vocabulary.bytes:
            return bytes([int(text[3:5], 16)])
        if token in self._vocabulary.control or token in self._vocabulary.literal:
            return text.encode()
        return text.replace(SPACE, " ").encode()

    def _encode_word(self, word: str) -> list[int]:
        ids: list[int] = []
        for symbol in merged(word, self._scores):
            token = self._ids.get(symbol)
            if token is not None:
                ids.append(token)
            else:
                ids += self._fall_back(symbol)
        if len(word) <= _CACHED_WORD_CHARS:
            if len(self._cache) >= _CACHED_WORDS:
                self._cache.clear()
            self._cache[word] = ids
        return ids

    def _fall_back(self, symbol: str) -> list[int]:
        """A character outside the vocabulary: its UTF-8 bytes, else the unknown token."""
        if self._byte_ids:
            return [self._byte_ids[byte] for byte in symbol.encode()]
        return [] if self._vocabulary.unknown is None else [self._vocabulary.unknown]


def merged(word: str, scores: dict[str, float]) -> list[str]:
    """The tokens that the characters of `word` merge into; `scores` are those of all tokens."""
    symbols = list(word)
    if len(symbols) > _SCAN_SYMBOLS:
        return _merge_by_heap(symbols, scores)
    _merge_by_scan(symbols, scores)
    return symbols


def _merge_by_scan(symbols: list[str], scores: dict[str, float]) -> None:
    """Merge in place; every round looks at all pairs."""
    while len(symbols) > 1:
        best, best_score, merged = -1, 0.0, ""
        for i in range(len(symbols) - 1):
            pair = symbols[i] + symbols[i + 1]
            score = scores.get(pair)
            if score is not None and (best < 0 or score > best_score):
                best, best_score, merged = i, score, pair
        if best < 0:
            return
        symbols[best : best + 2] = [merged]


def _merge_by_heap(symbols: Sequence[str], scores: dict[str, float]) -> list[str]:
    """The same in O(n log n): a linked list of symbols and a heap of the pairs that may merge."""
    texts = [*symbols, ""]
    count = len(symbols)
    following = list(range(1, count + 1))
    previous = list(range(-1, count - 1))
    heap: list[tuple[float, int, int, str]] = []

    def offer(left: int, right: int) -> None:
        pair = texts[left] + texts[right]
        score = scores.get(pair)
        if score is not None:
            heapq.heappush(heap, (-score, left, right, pair))

    for i in range(count - 1):
        offer(i, i + 1)
    while heap:
        _, left, right, pair = heapq.heappop(heap)
        if not texts[left] or not texts[right] or len(texts[left]) + len(texts[right]) != len(pair):
            continue  # one side has merged with another neighbour meanwhile
        texts[left], texts[right] = pair, ""
        after = following[left] = following[right]
        if after < count:
            previous[after] = left
            offer(left, after)
        if previous[left] >= 0:
            offer(previous[left], left)
    return [text for text in texts if text]


def _table(texts: Sequence[str], values: Sequence[T]) -> dict[str, T]:
    """Values by text. In pieces, between which other threads may have the interpreter."""
    table: dict[str, T] = {}
    for start in range(0, len(texts), _PIECE):
        end = start + _PIECE
        table.update(zip(texts[start:end], values[start:end], strict=True))
    return table


def _word_pattern(texts: Iterable[str]) -> re.Pattern[str]:
    """Where text may be cut to tokenise the pieces one by one: before a space no token reaches over.

    Most vocabularies have no token with a space after something else; Gemma has one (">▁</"), so its words do
    not end at ">".
    """
    before_space, found = re.compile(f"([^{SPACE}\0]){SPACE}"), set[str]()
    remaining = iter(texts)
    while piece := list(islice(remaining, _PIECE)):
        found.update(before_space.findall("\0".join(piece)))
    crossing = sorted(found)
    if len(crossing) > _MAX_CROSSING:
        return re.compile(".+", re.DOTALL)
    over = f"(?:(?<=[{re.escape(''.join(crossing))}]){SPACE}+[^{SPACE}]*)*" if crossing else ""
    return re.compile(f"{SPACE}*[^{SPACE}]+{over}|{SPACE}+")


def _byte_ids(vocabulary: Vocabulary) -> list[int]:
    """Ids of the 256 byte tokens, or nothing where the vocabulary has none."""
    by_byte = {vocabulary.texts[i]: i for i in vocabulary.bytes}
    names = [f"<0x{byte:02X}>" for byte in range(256)]
    missing = [name for name in names if name not in by_byte]
    if missing and by_byte:
        raise ModelFileError(
            f"the vocabulary lacks {len(missing)} of 256 byte tokens, the first {missing[0]}."
        )
    return [] if missing else [by_byte[name] for name in names]
