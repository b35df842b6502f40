"""Vocabularies of GGUF metadata written as the files folders have."""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any

from pennyweight.text.bpe import byte_alphabet

if TYPE_CHECKING:
    from collections.abc import Mapping

_GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def folder_metadata(rows: int, files: Mapping[str, Any]) -> dict[str, Any]:
    """What an open folder says of its text; `files` by key (`json`, `tekken`, `config`...)."""
    usual: dict[str, Any] = {"config": {}, "special_tokens": {}, "end_ids": []}
    named = {f"tokenizer.huggingface.{key}": value for key, value in (usual | dict(files)).items()}
    return {"general.architecture": "llama", "llama.vocab_size": rows, **named}


def sentencepiece_bytes(metadata: Mapping[str, Any], **normalizer: int) -> bytes:
    """A `tokenizer.model` of BPE. `normalizer`: `dummy_prefix`, `remove_blanks`."""
    columns = (metadata[f"tokenizer.ggml.{name}"] for name in ("tokens", "scores", "token_type"))
    pieces = b"".join(
        _message(1, _message(1, text.encode()) + b"\x15" + struct.pack("<f", score) + _number(3, kind))
        for text, score, kind in zip(*columns, strict=True)
    )
    ids = (metadata[f"tokenizer.ggml.{role}_token_id"] for role in ("unknown", "bos", "eos"))
    trainer = _number(3, 2) + b"".join(_number(40 + index, token) for index, token in enumerate(ids))
    trainer += _number(43, 2**64 - 1)  # -1: no padding
    settings = _number(3, normalizer.get("dummy_prefix", 1)) + _number(4, normalizer.get("remove_blanks", 0))
    return pieces + _message(2, trainer) + _message(3, _message(1, b"identity") + settings)


def tekken_bytes(metadata: Mapping[str, Any], *, num_special: int = 4, **changes: Any) -> bytes:
    """A `tekken.json` of a GPT-2 vocabulary, whose ids are ranks; its own control tokens are left out."""
    byte_of = {char: byte for byte, char in enumerate(byte_alphabet())}
    texts = [text for text in metadata["tokenizer.ggml.tokens"] if all(char in byte_of for char in text)]
    words = [bytes(byte_of[char] for char in text) for text in texts]
    vocab = [
        {"rank": rank, "token_bytes": base64.b64encode(word).decode(), "token_str": None}
        for rank, word in enumerate(words)
    ]
    config = {
        "pattern": _GPT2_PATTERN,
        "num_vocab_tokens": len(vocab) + 7,
        "default_vocab_size": len(vocab) + num_special,
        "default_num_special_tokens": num_special,
        "version": "v3",
    }
    return json.dumps({"config": config, "vocab": vocab, **changes}).encode()


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data
