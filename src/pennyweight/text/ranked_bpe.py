"""Byte-level BPE without a list of merges (tiktoken's kind): neighbours merge into the token of lowest rank.

The search is SentencePiece's, over bytes; making the list for the `tokenizers` library takes two seconds for
Tekken's 130,000 tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenizers import Regex, pre_tokenizers

from pennyweight.errors import ModelFileError
from pennyweight.text.bpe import byte_alphabet
from pennyweight.text.spm import merged

if TYPE_CHECKING:
    from pennyweight.text.tokenizer import Before
    from pennyweight.text.vocabulary import Vocabulary

_CACHED_WORDS: Final = 1 << 15
_CACHED_WORD_CHARS: Final = 64


class RankedModel:
    """Text to ids and ids to bytes; words are what `pattern` cuts out."""

    strips_space = False
    shrinks = False

    def __init__(self, vocabulary: Vocabulary, *, pattern: str) -> None:
        self._vocabulary = vocabulary
        plain = [token for token in range(len(vocabulary)) if token not in vocabulary.control]
        self._ids = {vocabulary.texts[token]: token for token in plain}
        self._scores = {vocabulary.texts[token]: vocabulary.scores[token] for token in plain}
        self._alphabet = byte_alphabet()
        self._byte_of = {char: byte for byte, char in enumerate(self._alphabet)}
        if not self._byte_of.keys() <= self._ids.keys():
            raise ModelFileError("the vocabulary lacks tokens of single bytes")
        try:
            self._words = pre_tokenizers.Split(Regex(pattern), "isolated")
        except Exception as error:  # the library raises plain Exception for a malformed pattern
            raise ModelFileError(f"the pattern that cuts words is malformed: {error}") from error
        self._cache: dict[str, list[int]] = {}

    def encode(self, text: str, *, before: Before) -> list[int]:  # noqa: ARG002 - one shape for all
        ids: list[int] = []
        for word, _ in self._words.pre_tokenize_str(text):
            cached = self._cache.get(word)
            ids += self._encode_word(word) if cached is None else cached
        return ids

    def token_bytes(self, token: int) -> bytes:
        text = self._vocabulary.texts[token]
        if token in self._vocabulary.control or any(char not in self._byte_of for char in text):
            return text.encode()
        return bytes(map(self._byte_of.__getitem__, text))

    def _encode_word(self, word: str) -> list[int]:
        symbols = "".join(self._alphabet[byte] for byte in word.encode())
        whole = self._ids.get(symbols)
        ids = [whole] if whole is not None else [self._ids[part] for part in merged(symbols, self._scores)]
        if len(word) <= _CACHED_WORD_CHARS:
            if len(self._cache) >= _CACHED_WORDS:
                self._cache.clear()
            self._cache[word] = ids
        return ids
