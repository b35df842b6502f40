"""Tiny models as a reader sees them: plain metadata and a tensor table, without a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pennyweight.models.architectures import ARCHITECTURES, architecture_of
from pennyweight.models.gguf_header import TensorInfo
from tests.models.tiny import TinyShape, tiny_metadata, tiny_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.models.roles import DecoderRoles
    from pennyweight.models.spec import ModelSpec


def plain(shape: TinyShape) -> dict[str, Any]:
    """Metadata as a reader gives it: without the writer's type annotations."""
    return {key: getattr(value, "value", value) for key, value in tiny_metadata(shape).items()}


def table(shape: TinyShape) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(
            name=name, type=tensor.type, shape=tensor.shape, nbytes=len(tensor.data), file=0, offset=0
        )
        for name, tensor in tiny_tensors(shape).items()
    }


@dataclass(frozen=True, slots=True)
class Table:
    """A ModelTable without a file; `data` are the tensors that are read before the weights."""

    metadata: Mapping[str, Any]
    tensors: Mapping[str, TensorInfo]
    data: Mapping[str, bytes] = field(default_factory=dict)
    rotary_rows: Literal["interleaved", "halves"] = "interleaved"

    def read(self, name: str) -> bytearray:
        return bytearray(self.data[name])


def describe(shape: TinyShape, changes: Mapping[str, Any] | None = None) -> ModelSpec:
    """The spec of a tiny model with keys changed, or dropped if None, the architecture's prefix left out."""
    metadata = plain(shape)
    for key, value in (changes or {}).items():
        full = f"{shape.architecture}.{key}"
        metadata.pop(full, None)
        if value is not None:
            metadata[full] = value
    return architecture_of(metadata).describe(Table(metadata, table(shape)), None)


def roles_of(shape: TinyShape, tensors: Mapping[str, TensorInfo] | None = None) -> DecoderRoles:
    return ARCHITECTURES[shape.architecture].roles(
        describe(shape), Table(plain(shape), table(shape) if tensors is None else tensors)
    )
