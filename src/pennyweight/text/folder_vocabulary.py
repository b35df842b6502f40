"""The vocabulary of a Hugging Face folder, as metadata of the kind that GGUF files have.

`pennyweight.models.huggingface.text_files` says which keys hold the folder's files. Its ids are checked
against the rows of the embedding: rows without a token become tokens that no text gives.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import ModelFileError
from pennyweight.text.vocabulary import PREFIX, TokenType

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER_PREFIX: Final = "tokenizer.huggingface."
_ROLES: Final = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
_PADDING_ROWS: Final = 1024  # and a tenth: what embeddings have more than tokens, for the sake of round sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderVocabulary:
    """What a vocabulary file says: GGUF's `family`, tokens by id, and whether prompts begin with BOS.

    `extra` are further keys of the metadata, without `tokenizer.ggml.` in front.
    """

    file: str
    family: str
    tokens: Mapping[int, str]
    types: Mapping[int, TokenType]  # normal where nothing is said
    add_bos: bool
    roles: Mapping[str, int] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


def json_object(data: bytes, file: str) -> dict[str, Any]:
    """The object in a vocabulary file. Raises ModelFileError."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{file} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ModelFileError(f"{file} is not a JSON object")
    return document


def with_vocabulary(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """`metadata` of a folder with its vocabulary; that of a GGUF file as it is. Raises ModelFileError."""
    if PREFIX + "model" in metadata:
        return metadata
    if FOLDER_PREFIX + "json" in metadata:
        from pennyweight.text.tokenizer_json import read_tokenizer_json as read
    elif FOLDER_PREFIX + "tekken" in metadata:
        from pennyweight.text.tekken import read_tekken as read
    elif FOLDER_PREFIX + "sentencepiece" in metadata:
        from pennyweight.text.sentencepiece_file import read_sentencepiece as read
    else:
        return metadata
    return {**metadata, **_as_gguf(read(metadata), metadata)}


def embedding_rows(metadata: Mapping[str, Any]) -> int:
    """How many tokens the weights know."""
    return int(metadata[f"{metadata['general.architecture']}.vocab_size"])


def _as_gguf(vocabulary: FolderVocabulary, metadata: Mapping[str, Any]) -> dict[str, Any]:
    rows = embedding_rows(metadata)
    _check_size(vocabulary, rows)
    unused = {row for row in range(rows) if row not in vocabulary.tokens}
    types = {**vocabulary.types, **dict.fromkeys(unused, TokenType.UNUSED)}
    config = metadata.get(FOLDER_PREFIX + "config", {})
    add_bos = config.get("add_bos_token")
    values = {
        "model": vocabulary.family,
        "tokens": [vocabulary.tokens.get(row, f"[PAD{row}]") for row in range(rows)],
        "token_type": [types.get(row, TokenType.NORMAL) for row in range(rows)],
        "add_bos_token": add_bos if isinstance(add_bos, bool) else vocabulary.add_bos,
        **{f"{role}_token_id": token for role, token in _role_ids(vocabulary, metadata).items()},
        "end_token_ids": metadata.get(FOLDER_PREFIX + "end_ids", []),
        **vocabulary.extra,
    }
    return {PREFIX + key: value for key, value in values.items()}


def _check_size(vocabulary: FolderVocabulary, rows: int) -> None:
    """Tokens added to a vocabulary may lie beyond the weights (an image's, in a model of text alone)."""
    ids = vocabulary.tokens.keys()
    if not ids:
        raise ModelFileError(f"{vocabulary.file}: the vocabulary is empty")
    last = max((token for token in ids if vocabulary.types.get(token) is None), default=0)
    if last >= rows:
        raise ModelFileError(
            f"{vocabulary.file} has ids up to {last}, the model's embedding {rows} rows: they do not belong "
            "together; get the folder again"
        )
    if rows - len(ids) > _PADDING_ROWS + rows // 10:
        raise ModelFileError(
            f"{vocabulary.file} has {len(ids)} tokens, the model's embedding {rows} rows: they do not belong "
            "together; get the folder again"
        )


def _role_ids(vocabulary: FolderVocabulary, metadata: Mapping[str, Any]) -> dict[str, int]:
    """By the texts of tokenizer_config.json, else what the vocabulary says itself."""
    ids = {text: token for token, text in vocabulary.tokens.items()}
    found = dict(vocabulary.roles)
    for key, text in metadata.get(FOLDER_PREFIX + "special_tokens", {}).items():
        if text in ids:
            found[_ROLES[key]] = ids[text]
        elif key in ("bos_token", "eos_token"):
            raise ModelFileError(f"{vocabulary.file} has no token {text!r}, which is to be the {key}")
    for role, token in found.items():
        if token >= embedding_rows(metadata):
            raise ModelFileError(
                f"{vocabulary.file}: the {role} token {token} is beyond the {embedding_rows(metadata)} rows "
                "of the model's embedding"
            )
    return found
