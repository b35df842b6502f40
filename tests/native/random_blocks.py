"""Random GGUF matrices as bytes: every code occurs, scales differ from group to group and may be negative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pennyweight.native.reference_blocks import BLOCK_TYPES, Weights, decode

TYPES = tuple(BLOCK_TYPES)
SUPER_TYPES = tuple(name for name, block in BLOCK_TYPES.items() if block.elements == 256)

# Standard deviation of the integer codes times a typical sub-scale, and their mean over it.
_CODE_SPREAD = {
    "Q4_0": 4.6,
    "Q4_1": 4.6,
    "Q5_0": 9.2,
    "Q5_1": 9.2,
    "Q8_0": 74.0,
    "Q4_K": 170.0,
    "Q5_K": 340.0,
    "Q6_K": 1400.0,
    "Q2_K": 9.8,
    "Q3_K": 45.0,
    "IQ4_NL": 70.0,
    "IQ4_XS": 1300.0,
}
_CODE_MEAN = {"Q4_1": 7.5, "Q5_1": 15.5, "Q4_K": 7.5, "Q5_K": 15.5, "Q2_K": 1.5}
_HALF_PLACES = {"Q6_K": 208, "Q2_K": 80, "Q3_K": 108}  # of the fp16 scale, else 0; a minimum follows it


@dataclass(frozen=True, slots=True)
class Blocks:
    """A matrix as a file holds it."""

    type: str
    rows: int
    columns: int
    data: bytes

    def weights(self) -> Weights:
        return decode(self.data, type=self.type, rows=self.rows, columns=self.columns)


def random_blocks(rng: np.random.Generator, type: str, rows: int, columns: int) -> Blocks:
    """Values with a standard deviation of about `1 / sqrt(columns)`."""
    spread = columns**-0.5
    if type in ("F32", "F16", "BF16"):
        values = (rng.standard_normal((rows, columns)) * spread).astype(np.float32)
        coded = {"F32": values, "F16": values.astype(np.float16), "BF16": values.view(np.uint16)[:, 1::2]}
        return Blocks(type, rows, columns, coded[type].tobytes())
    block = BLOCK_TYPES[type]
    count = rows * columns // block.elements
    raw = rng.integers(0, 256, (count, block.nbytes), dtype=np.uint8)
    d = spread / _CODE_SPREAD[type] * rng.uniform(0.5, 1.5, count)
    place = _HALF_PLACES.get(type, 0)
    if type in _CODE_MEAN:
        # K types subtract their minimum, the others add it.
        sign = 1 if type.endswith("K") else -1
        raw[:, place + 2 : place + 4] = _half_bytes(
            sign * d * _CODE_MEAN[type] * rng.uniform(0.7, 1.3, count)
        )
    elif type != "Q6_K":
        d *= rng.choice([-1, 1], count)
    raw[:, place : place + 2] = _half_bytes(d)
    return Blocks(type, rows, columns, raw.tobytes())


def _half_bytes(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16)[:, None].view(np.uint8)
