"""A source of weights whose floats are rounded to fewer bits as they are read.

Nothing is written, and the peak is that of the rounded weights. Matrices whose rows are no multiple of a
block, routers and vectors stay as they are; with four bits the embedding and the head keep eight, as
llama.cpp's quantiser keeps six or eight there.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args

from pennyweight.errors import ConfigError, ModelFileError
from pennyweight.models.block_types import BLOCK_TYPES, FLOAT_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from pennyweight.models.gguf_header import TensorInfo
    from pennyweight.models.source import WeightSource

WeightType = Literal["q8_0", "q4_0", "q4_1"]
"""What floats can be rounded to as they are read."""
_ENDS: Final = ("token_embd.weight", "output.weight")
_FLOAT_BYTES: Final = MappingProxyType({"F32": 4, "F16": 2, "BF16": 2})
_BLOCK_BYTES: Final = MappingProxyType({block.name: block.bytes for block in BLOCK_TYPES.values()})
_BLOCK: Final = 32


def check_weight_type(value: str | None) -> WeightType | None:
    """`value`, if floats can be rounded to it. Raises ConfigError."""
    for known in get_args(WeightType):
        if value == known:
            return known  # type: ignore[no-any-return]  # get_args knows no types
    if value is not None:
        raise ConfigError(f"the type of weights is {value!r}; possible are {', '.join(get_args(WeightType))}")
    return None


class RoundedSource:
    """Another source, closed with this one, with its floats in `to`."""

    def __init__(self, source: WeightSource, to: WeightType) -> None:
        self._source = source
        self._to = to.upper()
        found = {name: self._rounded(info) for name, info in source.tensors.items()}
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType(found)

    @property
    def path(self) -> Path:
        return self._source.path

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self._source.metadata

    @property
    def rotary_rows(self) -> Literal["interleaved", "halves"]:
        return self._source.rotary_rows

    @property
    def header_digests(self) -> tuple[bytes, ...]:
        return (*self._source.header_digests, hashlib.sha256(self._to.encode()).digest())

    def nbytes(self, name: str) -> int:
        size = self._source.nbytes(name)
        return self.tensors[name].nbytes or size

    def read(self, name: str) -> bytearray:
        data = bytearray(self.nbytes(name))
        self.read_into(name, memoryview(data))
        return data

    def read_into(self, name: str, target: memoryview, *, start: int = 0) -> None:
        """Whole rows of a rounded tensor."""
        from pennyweight.native import _native

        info, stored = self.tensors[name], self._source.tensors[name]
        if info.type == stored.type:
            self._source.read_into(name, target, start=start)
            return
        block, width = _BLOCK_BYTES[info.type], _FLOAT_BYTES[stored.type] * _BLOCK
        assert start % block == 0
        floats = bytearray(len(target) // block * width)
        self._source.read_into(name, memoryview(floats), start=start // block * width)
        try:
            target[:] = _native.requantize(floats, type=stored.type, to=info.type, columns=info.shape[-1])
        except ValueError as error:
            raise ModelFileError(f"tensor {name!r} cannot be rounded: {error}") from error

    def __enter__(self) -> Self:
        self._source.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._source.__exit__(kind, error, trace)

    def _rounded(self, info: TensorInfo) -> TensorInfo:
        router = "ffn_gate_inp" in info.name
        if len(info.shape) < 2 or info.type not in FLOAT_TYPES or info.shape[-1] % _BLOCK or router:
            return info
        kind = "Q8_0" if info.name in _ENDS else self._to
        return replace(info, type=kind, nbytes=prod(info.shape) // _BLOCK * _BLOCK_BYTES[kind])
