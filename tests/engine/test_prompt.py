"""Prompts laid flat."""

from __future__ import annotations

from pennyweight.core import EmbeddingSpan, TokenSpan
from pennyweight.engine.prompt import FlatPrompt

VECTORS = bytes(range(24))  # three positions of two floats
PROMPT = FlatPrompt.of((TokenSpan((5, 6)), EmbeddingSpan(b"h", 3, VECTORS), TokenSpan((7,))))


def test_every_position_has_a_token_and_a_key() -> None:
    assert len(PROMPT) == 6
    assert PROMPT.tokens == (5, 6, 0, 0, 0, 7)
    first = -1 - (ord("h") << 32)
    assert PROMPT.keys == (5, 6, first, first - 1, first - 2, 7), "content that is no token has negative keys"
    assert PROMPT.text_tokens == [5, 6, 7]


def test_a_chunk_gets_its_own_part_of_the_vectors() -> None:
    assert PROMPT.vectors(0, 6) == [(2, VECTORS)]
    assert PROMPT.vectors(0, 3) == [(2, VECTORS[:8])]
    assert PROMPT.vectors(3, 6) == [(0, VECTORS[8:])]
    assert PROMPT.vectors(3, 4) == [(0, VECTORS[8:16])]
    assert PROMPT.vectors(0, 2) == PROMPT.vectors(5, 6) == []
