"""The metadata of a GGUF file as bytes, for whoever passes it on: a value read and written again could change
its type."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pennyweight.models.gguf_values import ValueReader

if TYPE_CHECKING:
    from pathlib import Path


def raw_metadata(path: Path) -> dict[str, bytes]:
    """Keys and values, each with its type in front, of a file that `GGUFFile.open` has checked."""
    with path.open("rb") as file:
        descriptor = file.fileno()
        reader = ValueReader(descriptor, file_bytes=os.fstat(descriptor).st_size, label=path.name)
        reader.take(4 + 4 + 8)  # magic, version, number of tensors
        pairs = {}
        for _ in range(reader.uint64()):
            key = reader.name()
            start = reader.position
            reader.value()
            pairs[key] = bytes(reader.consumed()[start : reader.position])
        return pairs
