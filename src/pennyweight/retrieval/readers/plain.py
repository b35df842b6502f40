"""Plain text, Markdown, source code: UTF-8, UTF-16 with its mark, or Windows-1252."""

from __future__ import annotations

import codecs
import io
from typing import TYPE_CHECKING, BinaryIO, Final

from pennyweight.retrieval.document import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE_CHARS: Final = 2**16
_MOST_CONTROLS: Final = 0.02  # of the characters: more is no text
_FEW_CONTROLS: Final = 8
_LAYOUT: Final = "\t\n\r\f"


def read(file: BinaryIO) -> Iterator[str]:
    """As it is."""
    text = opened(file)
    while piece := text.read(_PIECE_CHARS):
        controls = sum(not (char.isprintable() or char in _LAYOUT) for char in piece[:4096])
        if controls > _FEW_CONTROLS + _MOST_CONTROLS * min(len(piece), 4096):
            raise DocumentError("unsupported_file", "The file is no text: it has control characters.")
        yield piece


def opened(file: BinaryIO) -> io.TextIOWrapper:
    """The file as text, in whichever of the three encodings it is."""
    return io.TextIOWrapper(file, encoding=_encoding(file), errors="replace", newline=None)


def _encoding(file: BinaryIO) -> str:
    start = file.read(4)
    file.seek(0)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while piece := file.read(_PIECE_CHARS):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    finally:
        file.seek(0)
    return "utf-8-sig"
