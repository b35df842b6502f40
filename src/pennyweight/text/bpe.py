"""Byte-level BPE (GPT-2 and everything after it) on the `tokenizers` library.

Control tokens are left out of the library's vocabulary: no text can merge into one, whatever the merges say.
Source: https://github.com/openai/gpt-2/blob/master/src/encoder.py (the byte alphabet).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from pennyweight.errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.text.pretokenizers import PreTokenizer
    from pennyweight.text.tokenizer import Before
    from pennyweight.text.vocabulary import Vocabulary


class ByteLevelModel:
    """Text to ids and ids to bytes for vocabularies of GGUF's model `gpt2`."""

    strips_space = False

    def __init__(self, vocabulary: Vocabulary, *, merges: Sequence[str], rule: PreTokenizer) -> None:
        self._vocabulary = vocabulary
        ids = {text: i for i, text in enumerate(vocabulary.texts) if i not in vocabulary.control}
        pairs = _pairs(merges)
        try:
            model = models.BPE(ids, pairs, ignore_merges=rule.whole_words)
        except Exception as error:  # the library raises plain Exception for a merge without its token
            raise ModelFileError(f"tokenizer.ggml.merges does not fit the vocabulary: {error}.") from error
        self.shrinks = rule.nfc
        self._library = Tokenizer(model)
        if rule.nfc:
            self._library.normalizer = normalizers.NFC()
        splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in rule.patterns]
        bytes_to_chars = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        self._library.pre_tokenizer = pre_tokenizers.Sequence([*splits, bytes_to_chars])
        self._byte_of = {char: byte for byte, char in enumerate(byte_alphabet())}

    def encode(self, text: str, *, before: Before) -> list[int]:  # noqa: ARG002 - one shape for all
        # Of one text, as a batch: only this call lets other threads run while it works.
        ids: list[int] = self._library.encode_batch_fast([text], add_special_tokens=False)[0].ids
        return ids

    def token_bytes(self, token: int) -> bytes:
        text = self._vocabulary.texts[token]
        if token in self._vocabulary.control or token in self._vocabulary.literal:
            return text.encode()
        byte_of = self._byte_of
        if any(char not in byte_of for char in text):
            return text.encode()
        return bytes(map(byte_of.__getitem__, text))


def _pairs(merges: Sequence[str]) -> list[tuple[str, str]]:
    """Each merge's two tokens. One comprehension: a model starts with some 50,000 of them."""
    pairs = [(left, right) for left, _, right in [merge.partition(" ") for merge in merges]]
    for merge, pair in zip(merges, pairs, strict=True):
        if "" in pair:
            raise ModelFileError(f"tokenizer.ggml.merges holds {merge!r}, which is not two tokens.")
    return pairs


def byte_alphabet() -> list[str]:
    """The printable character that stands for each byte: itself where printable, else from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    alphabet, spare = [], 0x100
    for byte in range(256):
        alphabet.append(chr(byte if byte in printable else spare))
        spare += byte not in printable
    return alphabet
