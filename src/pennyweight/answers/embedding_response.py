"""Vectors as OpenAI's list of embedding objects, written vector by vector.

Thousands of numbers in one call of the JSON library would hold every other thread for its whole length.
"""

from __future__ import annotations

import json
from array import array
from base64 import b64encode
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pennyweight.answers.embedding import Embeddings


def embedding_body(
    embeddings: Embeddings, *, model: str, encoding_format: Literal["float", "base64"]
) -> bytes:
    """The body of the response, as JSON."""
    write = _base64 if encoding_format == "base64" else _floats
    data = ",".join(
        f'{{"object":"embedding","index":{index},"embedding":{write(vector)}}}'
        for index, vector in enumerate(embeddings.vectors)
    )
    usage = {"prompt_tokens": embeddings.num_tokens, "total_tokens": embeddings.num_tokens}
    tail = json.dumps({"model": model, "usage": usage}, ensure_ascii=False, separators=(",", ":"))[1:]
    return f'{{"object":"list","data":[{data}],{tail}'.encode()


def floats_of(vector: bytes) -> list[float]:
    """The numbers of a vector, float32 little-endian as this machine is."""
    numbers = array("f")
    numbers.frombytes(vector)
    return numbers.tolist()


def _base64(vector: bytes) -> str:
    return f'"{b64encode(vector).decode("ascii")}"'


def _floats(vector: bytes) -> str:
    return json.dumps(floats_of(vector), separators=(",", ":"))
