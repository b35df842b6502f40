"""Random adapters of tiny decoders, for either implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pennyweight.native import _native
from pennyweight.native.reference_adapter import LowRank
from tests.native.native_decoders import native_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.native.tiny_decoders import TinyDecoder

ATTENTION = ("query", "key", "value", "output")
PARTS = (*ATTENTION, "gate", "up", "down")


def random_adapter(
    tiny: TinyDecoder, *, rank: int, parts: Sequence[str] = PARTS, size: float = 0.3, seed: int = 0
) -> dict[str, LowRank]:
    """By the names of `reference.Tensors`; each sum is about `size` times its matrix."""
    rng = np.random.default_rng(seed)
    adapter = {}
    for index in range(tiny.spec.num_layers):
        for part in parts:
            name = f"layers.{index}.{part}"
            matrix = tiny.matrices[name]
            down = rng.normal(0, matrix.columns**-0.5, (rank, matrix.columns))
            up = rng.normal(0, size * rank**-0.5, (matrix.rows, rank))
            adapter[name] = LowRank(
                down_RN=down.astype(np.float32), up_MR=up.astype(np.float32) / np.float32(2), scale=2.0
            )
    return adapter


def native_adapter(
    tiny: TinyDecoder, adapter: Mapping[str, LowRank], *, model: _native.Model | None = None
) -> _native.Adapter:
    """For `model`, which is made if it is not given."""
    layers: list[dict[str, _native.LowRank]] = [{} for _ in range(tiny.spec.num_layers)]
    for name, low_rank in adapter.items():
        _, index, part = name.split(".")
        layers[int(index)][part] = _native.LowRank(
            low_rank.down_RN, low_rank.up_MR, rank=len(low_rank.down_RN), scale=low_rank.scale
        )
    return _native.Adapter(model or native_model(tiny), layers)
