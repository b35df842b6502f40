"""`quantize`: a model file in, a smaller one out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.errors import InvalidRequestError, ModelFileError
from pennyweight.models.block_types import FLOAT_TYPES
from pennyweight.models.gguf import GGUFFile, shard_paths
from pennyweight.models.gguf_metadata import raw_metadata
from pennyweight.models.gguf_writer import NewTensor, encode_value, file_bytes, write_gguf
from pennyweight.models.huggingface.shards import is_folder, shard_files
from pennyweight.quantize.conversion import Conversion
from pennyweight.quantize.folder_source import FolderSource
from pennyweight.quantize.new_file import check_destination, new_file
from pennyweight.quantize.recipe import FILE_TYPES, is_quantised, types_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pennyweight.models.source import WeightSource
    from pennyweight.quantize.importance import Importance
    from pennyweight.quantize.recipe import Kind

_QUANTIZATION_VERSION = 2  # of ggml's block layouts


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was written. `source_types` are the types of blocks the source had already, none of floats.

    `left_out` is what the model was made to read besides text, whose weights are not in the new file.
    """

    source_bytes: int
    num_bytes: int
    num_tensors: int
    source_types: tuple[str, ...]
    left_out: str | None = None


def quantize(
    source_path: Path,
    destination: Path,
    kind: Kind,
    *,
    importance: Callable[[], Importance | None] = lambda: None,
    replace: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None],
) -> Report:
    """Write the model at `source_path`, a GGUF file's or a folder's, to `destination` in fewer bits.

    `importance` tells which weights matter, None: all the same; it is asked when all else is known to be
    right. `progress` is told bytes written, and in total.
    Raises ModelFileError, InvalidRequestError; nothing is left of a file that was not finished.
    """
    from pennyweight.native import _native

    _refuse_itself(source_path, destination)
    with _open(source_path) as source:
        metadata = _metadata(source, kind)
        tensors = _new_tensors(source, kind)
        check_destination(destination, num_bytes=file_bytes(metadata, tensors), replace=replace)
        known = importance()
        with (
            Conversion(source, known, threads=threads or _native.useful_threads()) as conversion,
            new_file(destination, replace=replace) as file,
        ):
            told = _Told(conversion, sum(tensor.nbytes for tensor in tensors), progress)
            write_gguf(file, metadata=metadata, tensors=tensors, data=told.pieces)
    return Report(
        source_bytes=sum(path.stat().st_size for path in _files(source_path)),
        num_bytes=destination.stat().st_size,
        num_tensors=len(tensors),
        source_types=_block_types(source),
        left_out=source.left_out if isinstance(source, FolderSource) else None,
    )


def _new_tensors(source: WeightSource, kind: Kind) -> list[NewTensor]:
    """All tensors with their new types; ModelFileError for one that cannot be read."""
    types = types_of(source.tensors, kind)
    for name in types:
        source.nbytes(name)
    if not any(is_quantised(tensor) for tensor in source.tensors.values()):
        raise ModelFileError(f"{source.path.name}: there is no matrix of weights to quantise")
    return [
        NewTensor(name=name, type=types[name], shape=tensor.shape) for name, tensor in source.tensors.items()
    ]


def _open(path: Path) -> WeightSource:
    return FolderSource(path) if is_folder(path) else GGUFFile.open(path)


def _files(path: Path) -> list[Path]:
    return shard_files(path) if is_folder(path) else shard_paths(path)


def _metadata(source: WeightSource, kind: Kind) -> dict[str, bytes]:
    """A GGUF file's own, byte for byte, but for what tells of types, alignment and splitting."""
    if is_folder(source.path):
        kept = {key: encode_value(value) for key, value in source.metadata.items()}
    else:
        kept = {
            key: value
            for key, value in raw_metadata(source.path).items()
            if not key.startswith("split.") and key != "general.alignment"
        }
    return kept | {
        "general.file_type": encode_value(FILE_TYPES[kind]),
        "general.quantization_version": encode_value(_QUANTIZATION_VERSION),
    }


def _block_types(source: WeightSource) -> tuple[str, ...]:
    types = {tensor.type for tensor in source.tensors.values() if is_quantised(tensor)}
    return tuple(sorted(types - FLOAT_TYPES))


def _refuse_itself(source_path: Path, destination: Path) -> None:
    for path in _files(source_path):
        if destination.exists() and path.exists() and destination.samefile(path):
            raise InvalidRequestError(f"{destination} is the model that is read; name another file")


class _Told:
    """Tells how much has been written."""

    def __init__(self, conversion: Conversion, total: int, progress: Callable[[int, int], None]) -> None:
        self._conversion = conversion
        self._total = total
        self._progress = progress
        self._done = 0

    def pieces(self, tensor: NewTensor) -> Iterator[bytes]:
        for piece in self._conversion.pieces(tensor):
            yield piece
            self._done += len(piece)
            self._progress(self._done, self._total)
