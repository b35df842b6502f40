"""The tensors of a folder as a GGUF file of the same model has them.

Matrices keep their type, those of experts stand one behind the other as one tensor. Vectors (norms, biases)
are float32, Gemma's norms with the 1 added that its code adds.
"""

from __future__ import annotations

import struct
import sys
from array import array
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Final

from pennyweight.errors import ModelFileError
from pennyweight.models.block_types import FLOAT_TYPES
from pennyweight.models.gguf_header import TensorInfo
from pennyweight.models.huggingface.names import place_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pennyweight.models.huggingface.families import FolderModel
    from pennyweight.models.safetensors import SafetensorsFile, StoredTensor

_FIRST_EXPERT: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderTensor:
    """`stored` are the tensors it is made of, one behind the other; `offset` is added to every value."""

    info: TensorInfo
    stored: tuple[tuple[SafetensorsFile, StoredTensor], ...]
    offset: float = 0.0

    def read_into(self, target: memoryview, *, start: int) -> None:
        """Fill `target` with bytes of a matrix from `start` on."""
        for file, tensor in self.stored:
            if start < tensor.nbytes and len(target):
                count = min(len(target), tensor.nbytes - start)
                file.read_into(tensor.name, target[:count], start=start)
                target, start = target[count:], 0
            else:
                start -= tensor.nbytes

    def vector(self) -> bytearray:
        """All values of a vector, as float32."""
        ((file, tensor),) = self.stored
        data = file.read(tensor.name)
        if self.offset == 0.0:
            return _to_float32(data, tensor.type)
        values = _floats(_to_float32(data, tensor.type))
        return bytearray(vector_bytes(value + self.offset for value in values))


def folder_tensors(holders: Mapping[str, SafetensorsFile], model: FolderModel) -> dict[str, FolderTensor]:
    """The table by GGUF's names. Where the head is the embedding, one that was stored is left out.

    ModelFileError if two tensors claim one name, or experts are missing.
    """
    found: dict[str, dict[int, tuple[SafetensorsFile, StoredTensor]]] = {}
    for name, file in holders.items():
        usual = model.name_of(name)
        place = None if usual is None else place_of(usual, model.norms)
        if place is None or (model.tied and place.name == "output.weight"):
            continue
        parts = found.setdefault(place.name, {})
        expert = _FIRST_EXPERT if place.expert is None else place.expert
        if expert in parts:
            raise ModelFileError(f"the tensors {parts[expert][1].name!r} and {name!r} are the same part")
        parts[expert] = file, file.tensors[name]
    return {
        name: _tensor(name, parts, offset=model.norm_offset if name.endswith("norm.weight") else 0.0)
        for name, parts in found.items()
    }


def vector_bytes(values: Iterable[float]) -> bytes:
    """Little-endian float32."""
    packed = array("f", values)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _tensor(
    name: str, parts: Mapping[int, tuple[SafetensorsFile, StoredTensor]], *, offset: float
) -> FolderTensor:
    stored = tuple(parts[expert] for expert in sorted(parts))
    first = stored[0][1]
    for expert, (_, tensor) in enumerate(stored):
        if expert not in parts:
            raise ModelFileError(f"of expert {expert} there is no tensor such as {first.name!r}")
        if (tensor.shape, tensor.type) != (first.shape, first.type):
            raise ModelFileError(f"the tensors {first.name!r} and {tensor.name!r} differ in shape or type")
    shape = (len(stored), *first.shape) if "_exps." in name else first.shape
    return FolderTensor(info=_info(name, first.type, shape), stored=stored, offset=offset)


def _info(name: str, kind: str, shape: tuple[int, ...]) -> TensorInfo:
    """No size for what cannot be read; a vector is read as float32."""
    is_vector = len(shape) == 1
    width = {"F32": 4, "F16": 2, "BF16": 2}.get(kind)
    if width is not None and is_vector:
        kind, width = "F32", 4
    nbytes = None if width is None else width * prod(shape)
    return TensorInfo(name=name, type=kind, shape=shape, nbytes=nbytes, file=0, offset=0)


def _to_float32(data: bytearray, kind: str) -> bytearray:
    """Little-endian values of one of FLOAT_TYPES, each exactly as float32."""
    assert kind in FLOAT_TYPES, kind
    if kind == "F32":
        return data
    if kind == "BF16":  # the upper half of a float32
        wide = bytearray(2 * len(data))
        wide[2::4], wide[3::4] = data[0::2], data[1::2]
        return wide
    return bytearray(vector_bytes(struct.unpack(f"<{len(data) // 2}e", data)))


def _floats(data: bytearray) -> tuple[float, ...]:
    return struct.unpack(f"<{len(data) // 4}f", data)
