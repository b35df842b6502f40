"""Typed values at the front of a GGUF file, read from an untrusted descriptor.

`ValueReader` pulls the header in growing pieces with `os.pread` (a mapping of a file that is truncated later
would kill the process with SIGBUS) and checks every length against what is left of the file before using it,
so a hostile header costs at most a small multiple of its own size. Format: the GGUF specification,
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import os
import struct
from array import array
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HEADER_BYTES: Final = 256 << 20
"""Metadata and tensor table together; the largest vocabularies in use take about 20 MB."""

_MAX_NAME_BYTES: Final = 65535
_FIRST_READ_BYTES: Final = 1 << 20
_BOOL, _STRING, _ARRAY = 7, 8, 9
_SCALARS: Final[Mapping[int, struct.Struct]] = MappingProxyType(
    {
        code: struct.Struct(layout)
        for code, layout in (
            (0, "<B"),
            (1, "<b"),
            (2, "<H"),
            (3, "<h"),
            (4, "<I"),
            (5, "<i"),
            (6, "<f"),
            (10, "<Q"),
            (11, "<q"),
            (12, "<d"),
        )
    }
)
_UINT32 = _SCALARS[4]
_UINT64 = _SCALARS[10]


class ValueReader:
    """A cursor over the first bytes of one file. Methods raise ModelFileError for bytes that cannot be."""

    def __init__(self, descriptor: int, *, file_bytes: int, label: str) -> None:
        self.label = label
        self.file_bytes = file_bytes
        self.position = 0
        self._descriptor = descriptor
        self._limit = min(file_bytes, MAX_HEADER_BYTES)
        self._data = b""

    def fail(self, problem: str) -> ModelFileError:
        """The error for a problem at the current position."""
        return ModelFileError(f"{self.label}: {problem} (at byte {self.position})")

    def consumed(self) -> memoryview:
        """Everything read so far, from the first byte of the file to the current position."""
        return memoryview(self._data)[: self.position]

    def check_count(self, count: int, *, each_bytes: int, what: str) -> None:
        """Refuse a count whose items, at their smallest, do not fit into the rest of the file."""
        left = self._limit - self.position
        if count * each_bytes > left:
            raise self.fail(f"{count} {what} cannot fit into the {left} bytes that are left for the header")

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        self._need(size)
        start = self.position
        self.position += size
        return self._data[start : self.position]

    def uint32(self) -> int:
        return int(_UINT32.unpack(self.take(4))[0])

    def uint64(self) -> int:
        return int(_UINT64.unpack(self.take(8))[0])

    def name(self) -> str:
        """A string that is a key or a tensor's name; the format limits keys to 65535 bytes."""
        return self.string(most_bytes=_MAX_NAME_BYTES)

    def string(self, *, most_bytes: int = MAX_HEADER_BYTES) -> str:
        """A length in 8 bytes, then UTF-8."""
        length = self.uint64()
        if length > most_bytes:
            raise self.fail(f"{length} bytes are announced for a string of at most {most_bytes}")
        try:
            return self.take(length).decode()
        except UnicodeDecodeError as error:
            raise self.fail(f"a string is not UTF-8: {error.reason}") from error

    def value(self) -> Any:
        """One metadata value: int, float, bool, str, or an array (see `_array`)."""
        code = self.uint32()
        if code == _ARRAY:
            return self._array()
        if code == _STRING:
            return self.string()
        if code == _BOOL:
            return self._booleans(1)[0]
        if code not in _SCALARS:
            raise self.fail(f"metadata value type {code} is not one of GGUF's 0 to 12")
        layout = _SCALARS[code]
        return layout.unpack(self.take(layout.size))[0]

    def _array(self) -> list[str] | tuple[bool, ...] | array[Any]:
        """Strings as a list, booleans as a tuple, numbers as an `array.array` of their own width."""
        code, count = self.uint32(), self.uint64()
        if code == _ARRAY:
            raise self.fail("arrays inside arrays are not supported")
        if code == _STRING:
            return self._strings(count)
        if code == _BOOL:
            return self._booleans(count)
        if code not in _SCALARS:
            raise self.fail(f"array element type {code} is not one of GGUF's 0 to 12")
        layout = _SCALARS[code]
        self.check_count(count, each_bytes=layout.size, what="array elements")
        return array(layout.format[1:], self.take(count * layout.size))

    def _booleans(self, count: int) -> tuple[bool, ...]:
        self.check_count(count, each_bytes=1, what="array elements")
        data = self.take(count)
        if data.strip(b"\x00\x01"):  # strips both values at both ends: anything left is neither
            raise self.fail("a boolean is neither 0 nor 1")
        return tuple(map(bool, data))

    def _strings(self, count: int) -> list[str]:
        """A vocabulary has up to 262k of these: one loop over local names, about 0.3 us a string."""
        self.check_count(count, each_bytes=8, what="strings")
        strings: list[str] = []
        append, unpack = strings.append, _UINT64.unpack_from
        data, start, end = self._data, self.position, len(self._data)
        try:
            for _ in range(count):
                if start + 8 > end:
                    self.position = start
                    self._need(8)
                    data, end = self._data, len(self._data)
                text = start + 8
                start = text + unpack(data, start)[0]
                if start > end:
                    self.position = text
                    self._need(start - text)
                    data, end = self._data, len(self._data)
                append(data[text:start].decode())
        except UnicodeDecodeError as error:
            raise self.fail(f"string {len(strings)} of an array is not UTF-8: {error.reason}") from error
        self.position = start
        return strings

    def _need(self, size: int) -> None:
        """Have the next `size` bytes in memory. Pieces double, so the copying stays linear."""
        end = self.position + size
        if end <= len(self._data):
            return
        if end > self._limit:
            if end > self.file_bytes:
                left = self.file_bytes - self.position
                raise self.fail(f"{size} bytes are announced, but the file has only {left} more")
            raise self.fail(f"the header is larger than the limit of {MAX_HEADER_BYTES} bytes")
        have = len(self._data)
        target = min(max(end, 2 * have, _FIRST_READ_BYTES), self._limit)
        piece = os.pread(self._descriptor, target - have, have)
        self._data += piece
        if len(self._data) < end:
            raise self.fail("the file ended while its header was read")
