"""A folder that PEFT saved as the NumPy reference wants it: the same parts the engine packs, in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pennyweight.models.adapter.weights import read_parts
from pennyweight.native.reference_adapter import LowRank

if TYPE_CHECKING:
    from pennyweight.models.adapter.files import AdapterFiles
    from pennyweight.models.adapter.targets import AdapterTargets
    from pennyweight.models.adapter.weights import LowRankPart
    from pennyweight.native.reference_blocks import Floats


def read_adapter(files: AdapterFiles, targets: AdapterTargets) -> dict[str, LowRank]:
    """What `ReferenceDecoder` adds, by the names of its matrices. Raises ModelFileError."""
    parts = read_parts(files, targets)
    return {f"layers.{part.target.layer}.{part.target.part}": _low_rank(part) for part in parts}


def _low_rank(part: LowRankPart) -> LowRank:
    up_MR = _floats(part.up, part.type).reshape(-1, part.rank)
    rows = part.target.row_map
    return LowRank(
        down_RN=_floats(part.down, part.type).reshape(part.rank, -1),
        up_MR=up_MR if rows is None else up_MR[list(rows)],
        scale=part.scale,
    )


def _floats(data: bytearray, kind: str) -> Floats:
    if kind == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data, {"F16": "<f2", "F32": "<f4"}[kind]).astype(np.float32)
