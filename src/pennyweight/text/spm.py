"""SentencePiece's BPE: neighbouring symbols merge into the best-scored token, leftmost first, until none is left.

Written here rather than put on the `tokenizers` library: that needs every split of every token as an explicit
merge, 2.2 s for Gemma's 262,144 tokens, against 0.1 s for two dictionaries; words repeat, so a cache of them makes
encoding as fast. Source: https://github.com/google/sentencepiece (bpe_model.cc).
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence

from pennyweight.errors import ModelFileError
from pennyweight.text.vocabulary import TokenType, Vocabulary

SPACE = "▁"
_CACHED_WORDS = 1 << 15
_CACHED_WORD_CHARS = 32
_SCAN_SYMBOLS = 24  # below this, scanning all pairs beats keeping a heap

_WORDS = re.compile(f"{SPACE}*[^{SPACE}]+|{SPACE}+")
_ANYTHING = re.compile(r".+", re.DOTALL)


class SentencePieceModel:
    """Text to ids and ids to bytes for vocabularies of GGUF's model `llama`."""

    def __init__(self, vocabulary: Vocabulary, *, space_prefix: bool = True) -> None:
        if not any(vocabulary.scores):
            raise ModelFileError("tokenizer.ggml.scores is missing: a SentencePiece vocabulary needs them.")
        self._vocabulary = vocabulary
        self._space_prefix = space_prefix
        mergeable = (TokenType.NORMAL, TokenType.UNUSED)
        controls = vocabulary.control
        self._ids = {
            text: i
            for i, (text, kind) in enumerate(zip(vocabulary.texts, vocabulary.types, strict=True))
            if kind in mergeable and i not in controls
        }
        self._scores = dict(zip(vocabulary.texts, vocabulary.scores, strict=True))
        for i, kind in enumerate(vocabulary.types):
            if kind not in mergeable or i in controls:
                self._scores.pop(vocabulary.texts[i], None)
        self._byte_ids = _byte_ids(vocabulary)
        # Words may be tokenised one by one if no token reaches from one into the next.
        crossing = re.search(f"[^{SPACE}\0]{SPACE}", "\0".join(self._ids))
        self._words = _ANYTHING if crossing else _WORDS
        self._cache: dict[str, list[int]] = {}

    def encode(self, text: str, *, after_special: bool) -> list[int]:
        """Ids of `text`, which gets the model's space prefix at the start and after every special token."""
        if after_special and self._space_prefix:
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
        kind = self._vocabulary.types[token]
        if kind == TokenType.BYTE:
            return bytes([int(text[3:5], 16)])
        if token in self._vocabulary.control or token in self._vocabulary.literal:
            return text.encode()
        return text.replace(SPACE, " ").encode()

    def _encode_word(self, word: str) -> list[int]:
        symbols = list(word)
        if len(symbols) <= _SCAN_SYMBOLS:
            _merge_by_scan(symbols, self._scores)
        else:
            symbols = _merge_by_heap(symbols, self._scores)
        ids: list[int] = []
        for symbol in symbols:
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


def _byte_ids(vocabulary: Vocabulary) -> list[int]:
    """Ids of the 256 byte tokens, or nothing where the vocabulary has none."""
    by_byte = {vocabulary.texts[i]: i for i, kind in enumerate(vocabulary.types) if kind == TokenType.BYTE}
    names = [f"<0x{byte:02X}>" for byte in range(256)]
    missing = [name for name in names if name not in by_byte]
    if missing and by_byte:
        raise ModelFileError(
            f"the vocabulary lacks {len(missing)} of 256 byte tokens, the first {missing[0]}."
        )
    return [] if missing else [by_byte[name] for name in names]
