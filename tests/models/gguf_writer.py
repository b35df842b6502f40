"""A minimal GGUF writer for tests: what a sound file is, byte by byte, so that tests can break it.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TYPE_CODES = {
    "F32": 0,
    "F16": 1,
    "Q4_0": 2,
    "Q4_1": 3,
    "Q5_0": 6,
    "Q5_1": 7,
    "Q8_0": 8,
    "Q8_K": 15,  # writable so that its refusal can be tested
    "Q4_K": 12,
    "Q5_K": 13,
    "Q6_K": 14,
    "BF16": 30,
}
"""Type codes of GGUF, by name."""

_SCALARS = {
    "u8": (0, "<B"),
    "i8": (1, "<b"),
    "u16": (2, "<H"),
    "i16": (3, "<h"),
    "u32": (4, "<I"),
    "i32": (5, "<i"),
    "f32": (6, "<f"),
    "bool": (7, "<?"),
    "u64": (10, "<Q"),
    "i64": (11, "<q"),
    "f64": (12, "<d"),
}


@dataclass(frozen=True, slots=True)
class Typed:
    """A metadata value with its GGUF type spelled out: `Typed("u64", 7)`, `Typed("i32", [1, 2])`."""

    kind: str
    value: Any


@dataclass(frozen=True, slots=True)
class RawTensor:
    """A tensor as it goes into the file; `shape` is (rows, columns), or (size,)."""

    type: str
    shape: tuple[int, ...]
    data: bytes


def gguf_bytes(
    metadata: Mapping[str, Any],
    tensors: Mapping[str, RawTensor],
    *,
    version: int = 3,
    alignment: int = 32,
) -> bytes:
    """A whole file. Plain ints become u32, floats f32; wrap others in `Typed`."""
    if alignment != 32:
        metadata = {**metadata, "general.alignment": alignment}
    head = [b"GGUF", struct.pack("<IQQ", version, len(tensors), len(metadata))]
    for key, value in metadata.items():
        head += [_string(key), _value(value)]
    offset, body = 0, []
    for name, tensor in tensors.items():
        dimensions = tensor.shape[::-1]
        head += [_string(name), struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions)]
        head.append(struct.pack("<IQ", TYPE_CODES[tensor.type], offset))
        padded = tensor.data + bytes(-len(tensor.data) % alignment)
        body.append(padded)
        offset += len(padded)
    header = b"".join(head)
    return header + bytes(-len(header) % alignment) + b"".join(body)


def write_gguf(path: Path, metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor]) -> Path:
    """Write one file and return its path."""
    path.write_bytes(gguf_bytes(metadata, tensors))
    return path


def write_split_gguf(
    folder: Path, stem: str, metadata: Mapping[str, Any], tensors: Mapping[str, RawTensor], *, count: int
) -> Path:
    """Write a model as `count` files, tensors dealt out in order; returns the first path."""
    names = list(tensors)
    share = -(-len(names) // count)
    for number in range(count):
        split = {
            "split.no": Typed("u16", number),
            "split.count": Typed("u16", count),
            "split.tensors.count": Typed("i32", len(names)),
        }
        part = {name: tensors[name] for name in names[number * share : (number + 1) * share]}
        own = {**metadata, **split} if number == 0 else split
        write_gguf(folder / f"{stem}-{number + 1:05}-of-{count:05}.gguf", own, part)
    return folder / f"{stem}-00001-of-{count:05}.gguf"


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    if isinstance(value, Typed):
        return _typed(value.kind, value.value)
    if isinstance(value, bool):
        return _typed("bool", value)
    if isinstance(value, int):
        return _typed("u32", value)
    if isinstance(value, float):
        return _typed("f32", value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + _string(value)
    return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_string, value))  # a list of strings


def _typed(kind: str, value: Any | Sequence[Any]) -> bytes:
    code, layout = _SCALARS[kind]
    if isinstance(value, (list, tuple)):
        items = b"".join(struct.pack(layout, item) for item in value)
        return struct.pack("<IIQ", 9, code, len(value)) + items
    return struct.pack("<I", code) + struct.pack(layout, value)
