"""JSON Lines: every line as a JSON file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from pennyweight.retrieval.readers.json_values import lines_of
from pennyweight.retrieval.readers.plain import opened

if TYPE_CHECKING:
    from collections.abc import Iterator


def read(file: BinaryIO) -> Iterator[str]:
    """Raises DocumentError, naming the line."""
    for number, line in enumerate(opened(file), 1):
        if line.strip():
            yield from lines_of(line, f"Line {number}")
