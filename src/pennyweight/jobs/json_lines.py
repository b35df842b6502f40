"""The lines of a JSON Lines file, one in memory at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOM = b"\xef\xbb\xbf"  # some editors begin UTF-8 files with it
_SKIPPED_BYTES = 2**16  # of a line that is too long, at a time


@dataclass(frozen=True, slots=True)
class Line:
    """Line `number` (from 1), `length` bytes from `offset` on. `raw` None: longer than was allowed."""

    number: int
    offset: int
    length: int
    raw: bytes | None


def read_lines(file: BinaryIO, *, max_bytes: int) -> Iterator[Line]:
    """Every line that is not blank, without its end; no more than `max_bytes` of one are kept."""
    number = offset = 0
    while raw := file.readline(max_bytes + 1):
        number += 1
        read = len(raw)
        if read > max_bytes and not raw.endswith(b"\n"):
            read += _skip_rest(file)
            yield Line(number, offset, read, None)
        elif content := (raw.removeprefix(_BOM) if offset == 0 else raw).strip(b" \t\r\n"):
            yield Line(number, offset, read, content)
        offset += read


def read_line_at(file: BinaryIO, *, offset: int, length: int) -> bytes:
    """The line that `read_lines` found there, without its end."""
    file.seek(offset)
    raw = file.read(length)
    return (raw.removeprefix(_BOM) if offset == 0 else raw).strip(b" \t\r\n")


def _skip_rest(file: BinaryIO) -> int:
    skipped = 0
    while more := file.readline(_SKIPPED_BYTES):
        skipped += len(more)
        if more.endswith(b"\n"):
            break
    return skipped
