"""Text to the ids a BERT encoder reads: WordPiece between an opening and a closing token.

The vocabulary comes from GGUF metadata or from a folder's `tokenizer.json`. Ids are those of `transformers`,
but for texts that spell a control token: `[SEP]` in somebody's text stays text.
"""

from __future__ import annotations

import re
import reprlib
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import ModelFileError
from pennyweight.text.tokenizer import Tokenizer
from pennyweight.text.vocabulary import PREFIX, TokenType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PIECE_CHARS: Final = 1 << 16
_BLANK: Final = re.compile(r"\s")
_WORD_START: Final = "▁"
_ROLES: Final = {"unknown": "[UNK]", "cls": "[CLS]", "seperator": "[SEP]"}  # the spelling of GGUF's keys


class EncoderTokenizer:
    """Immutable and safe to share between threads."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        """`metadata`: GGUF's, or what a `tokenizer.json` holds. ModelFileError if it is neither."""
        if "model" in metadata and PREFIX + "model" not in metadata:
            metadata = _from_tokenizer_json(metadata)
        if metadata.get(PREFIX + "model") != "bert":
            raise ModelFileError(
                f"{PREFIX}model is {metadata.get(PREFIX + 'model')!r}; encoders need WordPiece (bert)"
            )
        self._tokenizer = Tokenizer.from_metadata(metadata)
        self.unknown = _role(metadata, "unknown")
        """The id of a word that has no pieces."""
        self.opening = _role(metadata, "cls", "bos")
        """The id in front of every text."""
        self.closing = _role(metadata, "seperator", "eos")
        """The id behind every text."""

    @property
    def vocab_size(self) -> int:
        return self._tokenizer.vocab_size

    def encode(self, text: str) -> Iterator[list[int]]:
        """The ids of `text` without opening and closing, in runs: a caller may stop before the end.

        InvalidRequestError if the text is not valid Unicode.
        """
        start = 0
        while start < len(text):
            # Words never span blanks, so cutting there changes no id.
            blank = _BLANK.search(text, start + _PIECE_CHARS)
            end = blank.start() if blank else len(text)
            yield self._tokenizer.encode(text[start:end])
            start = end


def _role(metadata: Mapping[str, Any], *names: str) -> int:
    for name in names:
        token = metadata.get(f"{PREFIX}{name}_token_id")
        if type(token) is int:
            return token
    raise ModelFileError(f"{PREFIX}{names[0]}_token_id is missing: an encoder's texts begin and end with it")


def _from_tokenizer_json(document: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata a GGUF file of the same vocabulary would have."""
    model, normalizer = document["model"], document.get("normalizer")
    if not isinstance(model, dict) or model.get("type") != "WordPiece" or not isinstance(normalizer, dict):
        raise ModelFileError("tokenizer.json: only WordPiece with BERT's normaliser is supported")
    _expect("normalizer.type", normalizer.get("type"), "BertNormalizer")
    _expect("normalizer.clean_text", normalizer.get("clean_text", True), True)
    _expect("normalizer.handle_chinese_chars", normalizer.get("handle_chinese_chars", True), True)
    _expect("pre_tokenizer.type", (document.get("pre_tokenizer") or {}).get("type"), "BertPreTokenizer")
    _expect("model.continuing_subword_prefix", model.get("continuing_subword_prefix", "##"), "##")
    _expect("model.max_input_chars_per_word", model.get("max_input_chars_per_word", 100), 100)
    lowercase = bool(normalizer.get("lowercase", True))
    accents = normalizer.get("strip_accents")
    ids = _ids(model.get("vocab"))
    special = {token["content"] for token in document.get("added_tokens", ()) if token.get("special")}
    texts = sorted(ids, key=ids.__getitem__)
    metadata = {
        PREFIX + "model": "bert",
        PREFIX + "tokens": [text if text in special else _marked(text) for text in texts],
        PREFIX + "token_type": [TokenType.CONTROL if text in special else TokenType.NORMAL for text in texts],
        PREFIX + "normalizer.lowercase": lowercase,
        PREFIX + "normalizer.strip_accents": lowercase if accents is None else bool(accents),
    }
    for role, text in _ROLES.items():
        if text not in ids:
            raise ModelFileError(f"tokenizer.json: the vocabulary has no {text}")
        metadata[f"{PREFIX}{role}_token_id"] = ids[text]
    return metadata


def _ids(vocab: object) -> dict[str, int]:
    if not isinstance(vocab, dict) or sorted(vocab.values()) != list(range(len(vocab))):
        raise ModelFileError("tokenizer.json: the vocabulary is no list of texts numbered from 0")
    return vocab


def _marked(text: str) -> str:
    """GGUF marks the first piece of a word, BERT the later ones."""
    return text.removeprefix("##") if text.startswith("##") else _WORD_START + text


def _expect(name: str, value: object, expected: object) -> None:
    if value != expected:
        raise ModelFileError(f"tokenizer.json: {name} is {reprlib.repr(value)}; expected {expected!r}")
