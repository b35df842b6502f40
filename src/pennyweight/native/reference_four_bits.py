"""Keys and values in four bits, in NumPy: the rotation and the levels of docs/numerics.md.

A rotation by a Hadamard matrix spreads what stands out in a few elements of a head over all of them, which
sixteen levels then tell apart better (Ashkboos et al. 2024, QuaRot).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pennyweight.native.reference_blocks import Floats

F32 = np.float32
LEVELS = np.array([-124, -98, -78, -61, -46, -32, -19, -6, 6, 19, 32, 46, 61, 78, 98, 124], F32)
LIMITS = (LEVELS[8:-1] + LEVELS[9:]) / F32(2)
"""From which of `|x| / scale` on a magnitude is the next higher one."""


def hadamard(x: Floats) -> Floats:
    """Over runs of the last axis, as long as the largest power of two that divides it."""
    count = x.shape[-1]
    run = count & -count
    width = 1
    while width < run:
        pairs = x.reshape(*x.shape[:-1], count // (2 * width), 2, width)
        a, b = pairs[..., 0, :], pairs[..., 1, :]
        x = np.stack([a + b, a - b], axis=-2).reshape(x.shape)
        width *= 2
    return np.asarray(x * (F32(1) / np.sqrt(F32(run))))


def nearest_levels(y: Floats) -> Floats:
    """Of values in units of 127 / largest, with their signs."""
    magnitude = (np.abs(y)[..., None] >= LIMITS).sum(axis=-1)
    return np.asarray(LEVELS[np.where(y >= 0, 8 + magnitude, 7 - magnitude)])


def bfloat16(x: Floats) -> Floats:
    """The nearest float32 whose lower half is 0."""
    bits = np.ascontiguousarray(x, F32).view(np.uint32)
    bits = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return bits.view(F32)
