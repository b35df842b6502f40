"""The order in which lines run: those that begin alike are neighbours.

The engine then finds the beginning of a prompt computed, by the line before."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PROMPT_FIELDS: Final = ("tools", "functions", "instructions", "messages", "input", "prompt")
_CUTS: Final = (64, 256, 1024, 4096, 16384)  # characters; a shorter common start is not worth an order
_DIGEST_BYTES: Final = 8

StartKey = bytes
"""Digests of the beginnings of a prompt, shortest first: equal digests, equal beginnings."""


def start_key(body: Mapping[str, object]) -> StartKey:
    """What the beginning of a body's prompt is compared by; the fields in the order prompts have them."""
    told = [body[name] for name in _PROMPT_FIELDS if name in body]
    text = json.dumps(told)[: _CUTS[-1]]
    return b"".join(blake2b(text[:cut].encode(), digest_size=_DIGEST_BYTES).digest() for cut in _CUTS)


def grouped(keys: Sequence[StartKey]) -> list[int]:
    """The indices of `keys`: a group comes where its first member is, and keeps the order within."""
    first: dict[StartKey, int] = {}

    def rank(index: int) -> tuple[int, ...]:
        key = keys[index]
        ends = range(_DIGEST_BYTES, len(key) + 1, _DIGEST_BYTES)
        return (*(first.setdefault(key[:end], index) for end in ends), index)

    ranks = [rank(index) for index in range(len(keys))]
    return sorted(range(len(keys)), key=ranks.__getitem__)
