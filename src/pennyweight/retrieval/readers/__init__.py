"""One file per format: bytes in, pieces of text out. They run in a process of their own: see `extraction`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.retrieval.document import Kind

_MODULES: Final[dict[Kind, str]] = {
    "text": "plain",
    "html": "html",
    "json": "json_values",
    "json lines": "json_lines",
    "csv": "tables",
    "pdf": "pdf",
    "docx": "word",
}


def read(kind: Kind, file: BinaryIO) -> Iterator[str]:
    """The text in pieces; a blank line stands between paragraphs. Raises DocumentError."""
    module = import_module(f"{__name__}.{_MODULES[kind]}")  # a reader's library is loaded when it is needed
    pieces: Iterator[str] = module.read(file)
    return pieces
