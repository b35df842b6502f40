"""A prompt, laid flat: one token id and one content key per position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.core import EmbeddingSpan, Prompt, TokenSpan

if TYPE_CHECKING:
    from pennyweight.engine.prefix_tree import PositionKey

EMBEDDED_TOKEN = 0  # what the native row carries at a position whose vector is given


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatPrompt:
    """`tokens[i]` and `keys[i]` describe position `i`; `embeddings` are (first position, span)."""

    tokens: tuple[int, ...]
    keys: tuple[PositionKey, ...]
    embeddings: tuple[tuple[int, EmbeddingSpan], ...]

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def of(cls, prompt: Prompt) -> FlatPrompt:
        tokens: list[int] = []
        keys: list[PositionKey] = []
        embeddings: list[tuple[int, EmbeddingSpan]] = []
        for span in prompt:
            if isinstance(span, TokenSpan):
                tokens.extend(span.tokens)
                keys.extend(span.tokens)
            else:
                embeddings.append((len(tokens), span))
                tokens.extend([EMBEDDED_TOKEN] * span.positions)
                keys.extend(_embedded_key(span, offset) for offset in range(span.positions))
        return cls(tokens=tuple(tokens), keys=tuple(keys), embeddings=tuple(embeddings))

    @property
    def text_tokens(self) -> list[int]:
        """The prompt's tokens without embedded positions: what repetition is measured against."""
        return [key for key in self.keys if key >= 0]

    def vectors(self, start: int, stop: int) -> list[tuple[int, bytes]]:
        """Vectors of the positions `[start, stop)`, as (offset from `start`, float32 vectors)."""
        parts: list[tuple[int, bytes]] = []
        for first, span in self.embeddings:
            begin, end = max(start, first), min(stop, first + span.positions)
            if begin < end:
                size = len(span.vectors) // span.positions
                parts.append((begin - start, span.vectors[(begin - first) * size : (end - first) * size]))
        return parts


def _embedded_key(span: EmbeddingSpan, offset: int) -> PositionKey:
    """A negative number of its own for each content hash and place in it."""
    return -1 - (int.from_bytes(span.content_hash, "big") << 32 | offset)
