"""Safetensors files: a JSON header, then the tensors' bytes.

As with GGUF, the file is hostile until checked: the header is bounded, every range must lie in the file, have
the size of its shape and share no byte with another; tensors are read with `os.preadv`. Nothing is unpickled.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import hashlib
import json
import os
import reprlib
import stat
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import prod
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from pennyweight.errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_HEADER_BYTES: Final = 100_000_000  # the limit of the format's own library
_MAX_DIMENSIONS: Final = 8
_READ_BYTES: Final = 1 << 30
_ELEMENT_BYTES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
        "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """Where a tensor lies, from the start of the file. `type` is the format's name: F32, BF16, I64."""

    name: str
    type: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


class SafetensorsFile:
    """One open file; `tensors` by name, and the texts of its `metadata`. Close it, or use `with`."""

    def __init__(self, path: Path, descriptor: int, header: _Header) -> None:
        """Use `SafetensorsFile.open`."""
        self.path = path
        self.tensors: Mapping[str, StoredTensor] = MappingProxyType(header.tensors)
        self.metadata: Mapping[str, str] = MappingProxyType(header.metadata)
        self.header_digest = header.digest
        """SHA-256 of the header."""
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open and check the header. ModelFileError for anything that is not such a file."""
        path = Path(path)
        try:
            # Non-blocking, so that a named pipe cannot hang.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ModelFileError(f"{path}: cannot be opened: {reason}") from error
        try:
            return cls(path, descriptor, _read_header(path, descriptor))
        except BaseException:
            os.close(descriptor)
            raise

    def read(self, name: str) -> bytearray:
        """The values of one tensor, little-endian, in row-major order."""
        tensor = self.tensors.get(name)
        if tensor is None:
            raise ModelFileError(f"{self.path.name}: there is no tensor {name!r}")
        data = bytearray(tensor.nbytes)
        self.read_into(name, memoryview(data))
        return data

    def read_into(self, name: str, target: memoryview, *, start: int = 0) -> None:
        """Fill `target` with the tensor's bytes from `start` on. From any thread."""
        offset = self.tensors[name].offset + start
        if _read_into(target, self._descriptor, offset, self.path) < len(target):
            raise ModelFileError(f"{self.path.name}: the file ended inside tensor {name!r}; it was changed")

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read_into(view: memoryview, descriptor: int, offset: int, path: Path) -> int:
    filled = 0
    try:
        while filled < len(view):
            count = os.preadv(descriptor, [view[filled : filled + _READ_BYTES]], offset + filled)
            if count == 0:
                break
            filled += count
    except OSError as error:
        raise ModelFileError(f"{path.name}: cannot be read: {error.strerror}") from error
    return filled


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """`digest` is the SHA-256 of the bytes that say all this."""

    tensors: dict[str, StoredTensor]
    metadata: dict[str, str]
    digest: bytes


def _read_header(path: Path, descriptor: int) -> _Header:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"{path}: not a regular file")
    size = bytearray(8)
    if _read_into(memoryview(size), descriptor, 0, path) < 8:
        raise ModelFileError(f"{path.name}: not a safetensors file: it has {status.st_size} bytes")
    header_bytes = int.from_bytes(size, "little")
    if header_bytes > min(_MAX_HEADER_BYTES, status.st_size - 8):
        raise ModelFileError(f"{path.name}: not a safetensors file, or truncated: its header does not fit")
    raw = bytearray(header_bytes)
    _read_into(memoryview(raw), descriptor, 8, path)
    try:
        header = json.loads(raw, object_pairs_hook=partial(_object, path))
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path.name}: the header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise ModelFileError(f"{path.name}: the header is not a JSON object")
    about = header.pop("__metadata__", None)
    told = about.items() if isinstance(about, dict) else ()
    data_start = 8 + header_bytes
    tensors = {name: _tensor(path, name, entry, data_start) for name, entry in header.items()}
    _check_apart(path, tensors, data_start=data_start, file_bytes=status.st_size)
    metadata = {key: value for key, value in told if isinstance(value, str)}
    return _Header(tensors=tensors, metadata=metadata, digest=hashlib.sha256(raw).digest())


def _object(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two entries of one name readers take different ones, so there must be one."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ModelFileError(f"{path.name}: the header names {reprlib.repr(name)} twice")
        found[name] = value
    return found


def _tensor(path: Path, name: str, entry: Any, data_start: int) -> StoredTensor:
    """One entry of the header, its size checked against its shape."""
    if not isinstance(entry, dict):
        raise ModelFileError(f"{path.name}: the entry of {name!r} is not an object")
    kind: Any = entry.get("dtype")
    shape: Any = entry.get("shape")
    offsets: Any = entry.get("data_offsets")
    width = _ELEMENT_BYTES.get(kind) if isinstance(kind, str) else None
    if width is None:
        raise ModelFileError(f"{path.name}: tensor {name!r} has the unknown type {reprlib.repr(kind)}")
    if not _is_counts(shape) or len(shape) > _MAX_DIMENSIONS or not _is_counts(offsets) or len(offsets) != 2:
        raise ModelFileError(f"{path.name}: tensor {name!r} has a malformed shape or place")
    begin, end = offsets
    if end - begin != prod(shape) * width:
        raise ModelFileError(
            f"{path.name}: tensor {name!r} takes {end - begin} bytes, its shape {tuple(shape)} does not"
        )
    return StoredTensor(
        name=name, type=kind, shape=tuple(shape), offset=data_start + begin, nbytes=end - begin
    )


def _is_counts(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 1 << 62 for item in value)


def _check_apart(path: Path, tensors: dict[str, StoredTensor], *, data_start: int, file_bytes: int) -> None:
    """Tensors that share bytes would let a small file claim any amount of memory."""
    ordered = sorted(tensors.values(), key=lambda tensor: (tensor.offset, tensor.nbytes))
    for earlier, later in pairwise(ordered):
        if earlier.offset + earlier.nbytes > later.offset:
            raise ModelFileError(f"{path.name}: the tensors {earlier.name!r} and {later.name!r} overlap")
    end = ordered[-1].offset + ordered[-1].nbytes if ordered else data_start
    if end > file_bytes:
        raise ModelFileError(
            f"{path.name}: its tensors end at byte {end}, but it has {file_bytes}; "
            "it is truncated or damaged, get it again"
        )
