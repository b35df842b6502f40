"""Adapters in NumPy: what a product of low rank adds to a linear layer (docs/numerics.md, "Adapters").

Shape letters: T tokens, N inputs, M outputs, R rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pennyweight.native import reference_exact
from pennyweight.native.reference_blocks import Weights

if TYPE_CHECKING:
    from pennyweight.native.reference_blocks import Floats

BLOCK = 32
F32 = np.float32


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank:
    """`scale * up @ down` is added to a matrix; rows of `up` in the order of the packed matrix."""

    down_RN: Floats
    up_MR: Floats
    scale: float = 1.0

    def merged(self) -> Floats:
        """`[M, N]` in plain float32."""
        return np.asarray(F32(self.scale) * (self.up_MR @ self.down_RN))

    def exact(self, x_TN: Floats, *, fine: bool) -> Floats:
        """`[T, M]`, as the compiled decoder computes it from a layer's input."""
        down, down_exponent = _rounded(self.down_RN)
        up, up_exponent = _rounded(self.up_MR)
        factor = np.ldexp(F32(self.scale), down_exponent + up_exponent)
        t_TR = reference_exact.linear(_padded(x_TN), down, fine=fine) * factor
        return reference_exact.linear(_padded(t_TR), up, fine=True)


def _padded(x: Floats) -> Floats:
    return np.pad(x, [(0, 0), (0, -x.shape[1] % BLOCK)])


def _rounded(values: Floats) -> tuple[Weights, int]:
    """Q8_0 of the values with the largest brought to [64, 128), and the power of two that undoes it."""
    exponent = max(int(np.frexp(np.abs(values).max())[1]), -100) - 7
    blocks = _padded(np.ldexp(values, -exponent)).reshape(len(values), -1, BLOCK)
    d = (np.abs(blocks).max(axis=-1) / F32(127)).astype(np.float16).astype(F32)
    q = np.rint(blocks / np.where(d > 0, d, F32(np.inf))[..., None]).clip(-127, 127)
    integers = q.reshape(len(values), -1).astype(np.int16)
    return Weights(type="Q8_0", values=integers, d_RG=d, group=BLOCK), exponent
