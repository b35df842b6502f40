"""The header of one GGUF file: metadata and tensor table, checked against the size of the file.

Versions 2 and 3 share one little-endian layout: magic, version, counts, metadata pairs, tensor entries,
padding, tensor data. After `read_header` every tensor is known to lie inside the file, aligned, and apart
from the others.
"""

from __future__ import annotations

import hashlib
import reprlib
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any, Final

from pennyweight.models.block_types import BLOCK_TYPES, type_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pennyweight.models.gguf_values import ValueReader

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
_MAX_DIMENSIONS: Final = 4
_MAX_ELEMENTS: Final = 1 << 62
_PAIR_BYTES: Final = 13  # at least: key length, value type, one byte of value
_ENTRY_BYTES: Final = 32  # at least: name length, rank, one dimension, type, offset


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """Where a tensor lies. `shape` runs from the slowest to the fastest index: a matrix is (rows, columns).

    `nbytes` is None for a type that cannot be read. `offset` is from the start of file number `file`.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    nbytes: int | None
    file: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What stands before the tensor data of one file. `digest` is the SHA-256 of exactly those bytes."""

    metadata: dict[str, Any]
    tensors: tuple[TensorInfo, ...]
    digest: bytes


def read_header(reader: ValueReader, *, file: int) -> Header:
    """Read and check everything before the tensor data; `file` is the number written into each TensorInfo."""
    _check_kind(reader)
    num_tensors, num_pairs = reader.uint64(), reader.uint64()
    reader.check_count(num_pairs, each_bytes=_PAIR_BYTES, what="metadata pairs")
    reader.check_count(num_tensors, each_bytes=_ENTRY_BYTES, what="tensors")
    metadata: dict[str, Any] = {}
    for _ in range(num_pairs):
        key = reader.name()
        if key in metadata:
            raise reader.fail(f"the metadata key {key!r} occurs twice")
        metadata[key] = reader.value()
    entries = [_read_entry(reader) for _ in range(num_tensors)]
    digest = hashlib.sha256(reader.consumed()).digest()
    tensors = tuple(_place(reader, entries, alignment=_alignment(reader, metadata), file=file))
    _check_apart(reader, tensors)
    return Header(metadata=metadata, tensors=tensors, digest=digest)


def _check_kind(reader: ValueReader) -> None:
    magic = reader.take(4)
    if magic != _MAGIC:
        if magic == _MAGIC[::-1]:
            raise reader.fail("a big-endian GGUF file; this engine reads little-endian files only")
        raise reader.fail(f"not a GGUF file: it starts with {magic!r} instead of {_MAGIC!r}")
    version = reader.uint32()
    if version in _VERSIONS:
        return
    if version & 0xFFFF == 0:
        raise reader.fail("a big-endian GGUF file; this engine reads little-endian files only")
    raise reader.fail(f"GGUF version {version}; versions 2 and 3 are supported, convert the model again")


def _read_entry(reader: ValueReader) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape (slowest index first), type code and offset into the tensor data."""
    name, rank = reader.name(), reader.uint32()
    if not 1 <= rank <= _MAX_DIMENSIONS:
        raise reader.fail(f"tensor {name!r} has {rank} dimensions; 1 to {_MAX_DIMENSIONS} are possible")
    shape = tuple(reader.uint64() for _ in range(rank))[::-1]
    if not 0 < prod(shape) <= _MAX_ELEMENTS:
        raise reader.fail(f"tensor {name!r} has the impossible shape {shape}")
    return name, shape, reader.uint32(), reader.uint64()


def _alignment(reader: ValueReader, metadata: dict[str, Any]) -> int:
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise reader.fail(f"general.alignment is {reprlib.repr(alignment)}; it must be a power of two")
    return alignment


def _place(
    reader: ValueReader, entries: list[tuple[str, tuple[int, ...], int, int]], *, alignment: int, file: int
) -> Iterable[TensorInfo]:
    data_start = -(-reader.position // alignment) * alignment
    for name, shape, code, offset in entries:
        if offset % alignment:
            raise reader.fail(f"tensor {name!r} is at offset {offset}, not a multiple of {alignment}")
        nbytes = _tensor_bytes(reader, name, shape, code)
        start = data_start + offset
        end = start + (nbytes or 0)
        if end > reader.file_bytes:
            raise reader.fail(
                f"tensor {name!r} ends at byte {end}, but the file has {reader.file_bytes}; "
                "it is truncated or damaged, get it again"
            )
        yield TensorInfo(name=name, type=type_name(code), shape=shape, nbytes=nbytes, file=file, offset=start)


def _tensor_bytes(reader: ValueReader, name: str, shape: tuple[int, ...], code: int) -> int | None:
    block = BLOCK_TYPES.get(code)
    if block is None:
        return None
    if shape[-1] % block.elements:
        raise reader.fail(
            f"tensor {name!r} has rows of {shape[-1]} elements; "
            f"{block.name} needs multiples of {block.elements}"
        )
    return prod(shape) // block.elements * block.bytes


def _check_apart(reader: ValueReader, tensors: tuple[TensorInfo, ...]) -> None:
    """Tensors that share bytes would let a small file claim any amount of memory."""
    names = {tensor.name for tensor in tensors}
    if len(names) < len(tensors):
        raise reader.fail("two tensors have the same name")
    for earlier, later in pairwise(sorted(tensors, key=lambda tensor: tensor.offset)):
        if earlier.offset + (earlier.nbytes or 0) > later.offset:
            raise reader.fail(f"the tensors {earlier.name!r} and {later.name!r} overlap")
