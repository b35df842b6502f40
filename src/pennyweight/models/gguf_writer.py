"""Writing GGUF files (version 3, little-endian): metadata and tensor table first, then the tensors, streamed.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. What is written is read back by `gguf.py`
and by llama.cpp.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from pennyweight.models.block_types import block_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

ALIGNMENT: Final = 32
_BOOL, _STRING, _ARRAY = 7, 8, 9
_UINT32, _INT32, _FLOAT32, _UINT64, _INT64 = 4, 5, 6, 10, 11
_ARRAY_CODES: Final = {
    "B": 0,
    "b": 1,
    "H": 2,
    "h": 3,
    "I": _UINT32,
    "i": _INT32,
    "f": _FLOAT32,
    "Q": _UINT64,
    "q": _INT64,
    "d": 12,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTensor:
    """A tensor to be written. `shape` runs from the slowest to the fastest index, as in `TensorInfo`."""

    name: str
    type: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        block = block_type(self.type)
        return prod(self.shape) // block.elements * block.bytes


def encode_value(value: Any) -> bytes:
    """A metadata value with its type in front, as `gguf_values.py` reads it back.

    A whole number becomes uint32 where it fits, as readers expect of sizes and token ids; a float float32.
    """
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return struct.pack("<If", _FLOAT32, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _string(value)
    if isinstance(value, array):
        return struct.pack("<IIQ", _ARRAY, _ARRAY_CODES[value.typecode], len(value)) + value.tobytes()
    if all(isinstance(item, bool) for item in value):
        return struct.pack("<IIQ", _ARRAY, _BOOL, len(value)) + bytes(value)
    return struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + b"".join(map(_string, value))


def write_gguf(
    file: BinaryIO,
    *,
    metadata: Mapping[str, bytes],
    tensors: Sequence[NewTensor],
    data: Callable[[NewTensor], Iterable[bytes]],
) -> None:
    """Write a whole file. `metadata` are values as `encode_value` makes them; `data` gives a tensor's bytes.

    The tensors lie in the order given. OSError as the file raises it.
    """
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    for key, value in metadata.items():
        head += [_string(key), value]
    offset = 0
    for tensor in tensors:
        sizes = tensor.shape[::-1]
        head += [_string(tensor.name), struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)]
        head.append(struct.pack("<IQ", block_type(tensor.type).code, offset))
        offset += _padded(tensor.nbytes)
    file.write(b"".join(head))
    file.write(_padding(file.tell()))
    for tensor in tensors:
        written = sum(file.write(piece) for piece in data(tensor))
        assert written == tensor.nbytes, f"{tensor.name}: {written} bytes instead of {tensor.nbytes}"
        file.write(_padding(written))


def file_bytes(metadata: Mapping[str, bytes], tensors: Sequence[NewTensor]) -> int:
    """How large the file will be, within a kilobyte."""
    head = sum(len(key) + 8 + len(value) for key, value in metadata.items())
    table = sum(len(tensor.name) + 24 + 8 * len(tensor.shape) for tensor in tensors)
    return head + table + sum(_padded(tensor.nbytes) for tensor in tensors)


def _integer(value: int) -> bytes:
    for code, layout, low, high in (
        (_UINT32, "<II", 0, 2**32),
        (_INT32, "<Ii", -(2**31), 2**31),
        (_UINT64, "<IQ", 0, 2**64),
        (_INT64, "<Iq", -(2**63), 2**63),
    ):
        if low <= value < high:
            return struct.pack(layout, code, value)
    raise ValueError(f"{value} fits no integer type of GGUF")


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _padding(size: int) -> bytes:
    return bytes(_padded(size) - size)
