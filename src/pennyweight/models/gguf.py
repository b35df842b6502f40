"""GGUF model files, versions 2 and 3, split ones included.

The reader treats a file as hostile: nothing is believed before it is checked against the size of the file,
and a tensor is read with `os.preadv`, so a file that is truncated behind our back is an error, not a crash.
"""

from __future__ import annotations

import os
import re
import reprlib
import stat
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from pennyweight.errors import ModelFileError
from pennyweight.models.block_types import readable_names
from pennyweight.models.gguf_header import Header, TensorInfo, read_header
from pennyweight.models.gguf_values import ValueReader

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GGUFFile", "TensorInfo", "model_stem", "shard_paths"]

_SHARD_NAME: Final = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
_READ_BYTES: Final = 1 << 30  # one read call moves at most 2 GiB on Linux


class GGUFFile:
    """One open model: `metadata` of the first file, `tensors` of all its files. Close it, or use `with`."""

    def __init__(self, path: Path, headers: tuple[Header, ...], descriptors: tuple[int, ...]) -> None:
        """Use `GGUFFile.open`."""
        self.path = path
        self.metadata: Mapping[str, Any] = MappingProxyType(headers[0].metadata)
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType(_merge(path, headers))
        self.header_digests = tuple(header.digest for header in headers)
        """SHA-256 of each file's bytes before the tensor data."""
        self.rotary_rows: Final = "interleaved"
        self._descriptors = descriptors

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a model, with all its files if it is split. ModelFileError for anything that is not one."""
        first = Path(path)
        with ExitStack() as opened:
            descriptors = [_open_regular(first, opened)]
            headers = [_header(first, descriptors[0], file=0)]
            following = _following_shards(first, headers[0].metadata)
            for number, shard in enumerate(following, start=1):
                descriptors.append(_open_regular(shard, opened))
                headers.append(_header(shard, descriptors[-1], file=number))
                _check_shard(shard, headers[-1].metadata, number=number, count=len(following) + 1)
            model = cls(first, tuple(headers), tuple(descriptors))
            opened.pop_all()
        return model

    def read(self, name: str) -> bytearray:
        """The blocks of one tensor, row by row."""
        data = bytearray(self.nbytes(name))
        self.read_into(name, memoryview(data))
        return data

    def nbytes(self, name: str) -> int:
        """The size of one tensor; ModelFileError if there is none, or none that this engine reads."""
        tensor = self.tensors.get(name)
        if tensor is None:
            raise ModelFileError(f"{self.path.name}: there is no tensor {name!r}")
        if tensor.nbytes is None:
            raise ModelFileError(
                f"{self.path.name}: tensor {name!r} has the type {tensor.type}; "
                f"this engine reads {readable_names()}"
            )
        return tensor.nbytes

    def read_into(self, name: str, target: memoryview, *, start: int = 0) -> None:
        """Fill `target` with the tensor's bytes from `start` on. From any thread."""
        tensor = self.tensors[name]
        try:
            filled = _read_into(target, self._descriptors[tensor.file], tensor.offset + start)
        except OSError as error:
            raise ModelFileError(f"{self.path.name}: {name!r} cannot be read: {error.strerror}") from error
        if filled < len(target):
            raise ModelFileError(
                f"{self.path.name}: the file ended inside tensor {name!r}; it was changed after it was opened"
            )

    def close(self) -> None:
        """Close the files; closing twice does nothing."""
        descriptors, self._descriptors = self._descriptors, ()
        for descriptor in descriptors:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def shard_paths(path: Path) -> list[Path]:
    """All the files of the model that `path` is the first file of; they need not exist."""
    match = _SHARD_NAME.fullmatch(path.name)
    if match is None:
        return [path]
    count = match["count"]
    return [
        path.with_name(f"{match['stem']}-{number:05}-of-{count}.gguf") for number in range(1, int(count) + 1)
    ]


def model_stem(path: Path) -> str:
    """The file name without `.gguf` and without the number of a split file."""
    match = _SHARD_NAME.fullmatch(path.name)
    return match["stem"] if match is not None else path.name.removesuffix(".gguf")


def _read_into(view: memoryview, descriptor: int, offset: int) -> int:
    """Fill `view` from the file; the number of bytes that were there."""
    filled = 0
    while filled < len(view):
        count = os.preadv(descriptor, [view[filled : filled + _READ_BYTES]], offset + filled)
        if count == 0:
            break
        filled += count
    return filled


def _open_regular(path: Path, opened: ExitStack) -> int:
    """A descriptor of a regular file, closed by `opened`; non-blocking, so that a named pipe cannot hang."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ModelFileError(f"{path}: cannot be opened: {reason}") from error
    opened.callback(os.close, descriptor)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise ModelFileError(f"{path}: not a regular file")
    return descriptor


def _header(path: Path, descriptor: int, *, file: int) -> Header:
    size = os.fstat(descriptor).st_size
    try:
        return read_header(ValueReader(descriptor, file_bytes=size, label=path.name), file=file)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror}") from error


def _following_shards(first: Path, metadata: Mapping[str, Any]) -> list[Path]:
    """The second and later files of a split model, checked by name and count."""
    count, number = metadata.get("split.count", 1), metadata.get("split.no", 0)
    if (type(count), type(number)) != (int, int):
        raise ModelFileError(f"{first.name}: split.count and split.no must be whole numbers")
    if count <= 1:
        return []
    match = _SHARD_NAME.fullmatch(first.name)
    if match is None or int(match["count"]) != count:
        raise ModelFileError(
            f"{first.name}: one of {count} files of a split model; their names must end in "
            f"-00001-of-{count:05}.gguf and so on"
        )
    if number != 0 or int(match["number"]) != 1:
        raise ModelFileError(
            f"{first.name}: not the first file of a split model; open {shard_paths(first)[0].name}"
        )
    return shard_paths(first)[1:]


def _check_shard(path: Path, metadata: Mapping[str, Any], *, number: int, count: int) -> None:
    found = (metadata.get("split.no"), metadata.get("split.count"))
    if found != (number, count):
        said = " of ".join(map(reprlib.repr, found))
        raise ModelFileError(f"{path.name}: says it is file {said}; expected file {number} of {count}")


def _merge(path: Path, headers: tuple[Header, ...]) -> dict[str, TensorInfo]:
    tensors: dict[str, TensorInfo] = {}
    for header in headers:
        for tensor in header.tensors:
            if tensor.name in tensors:
                raise ModelFileError(f"{path.name}: two of its files have a tensor {tensor.name!r}")
            tensors[tensor.name] = tensor
    announced = headers[0].metadata.get("split.tensors.count", len(tensors))
    if announced != len(tensors):
        raise ModelFileError(
            f"{path.name}: {reprlib.repr(announced)} tensors are announced, its files have {len(tensors)}"
        )
    return tensors
