"""Where the tensors of a decoder come from: a GGUF file, or whatever else presents itself as one.

Names of tensors and keys of metadata are those of GGUF (`blk.0.attn_q.weight`, `llama.block_count`), so that
a family is described once for every format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from pennyweight.models.gguf import GGUFFile
from pennyweight.models.huggingface.shards import is_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from pennyweight.models.gguf_header import TensorInfo
    from pennyweight.models.rounded import WeightType


class ModelTable(Protocol):
    """What describes a model: metadata, tensor table, and the few small tensors that are hyperparameters.

    `rotary_rows` is the order of the rows of queries and keys in families that GGUF stores for interleaved
    rotation (Llama's): "interleaved" as llama.cpp's converter leaves them, "halves" as training wrote them.
    """

    @property
    def metadata(self) -> Mapping[str, Any]: ...
    @property
    def tensors(self) -> Mapping[str, TensorInfo]: ...
    @property
    def rotary_rows(self) -> Literal["interleaved", "halves"]: ...
    def read(self, name: str) -> bytearray:
        """The blocks of one tensor, row by row. Raises ModelFileError."""


class WeightSource(ModelTable, Protocol):
    """All of a model. `header_digests` are SHA-256 of what is not tensor data; reading is for any thread."""

    @property
    def path(self) -> Path: ...
    @property
    def header_digests(self) -> tuple[bytes, ...]: ...
    def nbytes(self, name: str) -> int:
        """The size of one tensor. Raises ModelFileError if there is none, or none that can be read."""

    def read_into(self, name: str, target: memoryview, *, start: int = 0) -> None:
        """Fill `target` with the tensor's bytes from `start` on. Raises ModelFileError."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...


def open_source(path: Path, *, weights: WeightType | None = None) -> WeightSource:
    """The GGUF file at `path`, or the folder it stands for. ModelFileError for anything that is neither.

    `weights`: what float matrices are rounded to as they are read; None: they stay floats.
    """
    source = _open(path)
    if weights is None:
        return source
    from pennyweight.models.rounded import RoundedSource

    return RoundedSource(source, weights)


def _open(path: Path) -> WeightSource:
    if is_folder(path):
        from pennyweight.models.huggingface.folder import HuggingFaceFolder

        return HuggingFaceFolder.open(path)
    return GGUFFile.open(path)
