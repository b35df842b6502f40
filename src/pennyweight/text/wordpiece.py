"""BERT's WordPiece on the `tokenizers` library: words, then the longest pieces from the left.

GGUF marks the first piece of a word with U+2581 and later ones not at all, BERT the later ones with ##.
Source: https://arxiv.org/abs/1609.08144 and the published BERT tokenizers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from pennyweight.errors import ModelFileError
from pennyweight.text.vocabulary import PREFIX, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.text.tokenizer import Before

_WORD_START = "▁"


class WordPieceModel:
    """Text to ids and ids to bytes for vocabularies of GGUF's model `bert`."""

    strips_space = True
    shrinks = True

    def __init__(self, vocabulary: Vocabulary, metadata: Mapping[str, Any]) -> None:
        if vocabulary.unknown is None:
            raise ModelFileError(f"{PREFIX}unknown_token_id is missing: a WordPiece vocabulary needs it.")
        self._vocabulary = vocabulary
        unknown = vocabulary.texts[vocabulary.unknown]
        ids = {_bert_text(text): i for i, text in enumerate(vocabulary.texts) if i not in vocabulary.control}
        ids[unknown] = vocabulary.unknown
        self._library = Tokenizer(models.WordPiece(ids, unk_token=unknown))
        lowercase = bool(metadata.get(PREFIX + "normalizer.lowercase", True))
        accents = bool(metadata.get(PREFIX + "normalizer.strip_accents", lowercase))
        self._library.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=accents)
        self._library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()

    def encode(self, text: str, *, before: Before) -> list[int]:  # noqa: ARG002 - one shape for all
        # Of one text, as a batch: only this call lets other threads run while it works.
        ids: list[int] = self._library.encode_batch_fast([text], add_special_tokens=False)[0].ids
        return ids

    def token_bytes(self, token: int) -> bytes:
        text = self._vocabulary.texts[token]
        if token in self._vocabulary.control:
            return text.encode()
        return text.replace(_WORD_START, " ").encode()


def _bert_text(text: str) -> str:
    return text[1:] if text.startswith(_WORD_START) else "##" + text
