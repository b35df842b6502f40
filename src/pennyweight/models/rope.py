"""Rotary frequencies, rounded to float32 where the reference implementation rounds them.

`theta_i = base ** (-2 i / rotary_dim)` (Su et al. 2021, RoFormer). transformers computes exponent, power,
reciprocal and division by a linear factor each in float32; its vectorised power is rounded
otherwise in one of a hundred frequencies, by the last bit.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import ceil, floor, log, pi
from typing import TYPE_CHECKING

from pennyweight.models.spec import RopeSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

_FLOAT32 = struct.Struct("<f")


@dataclass(frozen=True, slots=True, kw_only=True)
class Yarn:
    """YaRN (Peng et al. 2023): fast pairs turn as in training, slow ones `factor` times slower.

    A pair is fast if it turns more than `beta_fast` times within `original_context` positions, slow if less
    than `beta_slow` times; between them a ramp mixes both.
    """

    factor: float
    original_context: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0


def float32(value: float) -> float:
    """The nearest float32."""
    return float(_FLOAT32.unpack(_FLOAT32.pack(value))[0])


def rope_spec(*, base: float, head_dim: int, rotary_dim: int, linear_factor: float = 1.0) -> RopeSpec:
    """Frequencies of `head_dim / 2` pairs, those beyond `rotary_dim / 2` zero: they do not turn.

    `linear_factor` stretches positions (position interpolation, Chen et al. 2023).
    """
    powers = _powers(base, rotary_dim)
    return _spec([float32(float32(1.0 / power) / linear_factor) for power in powers], head_dim)


def divided_spec(
    *, base: float, head_dim: int, divisors: Sequence[float], magnitude: float = 1.0
) -> RopeSpec:
    """Every pair turns slower by a divisor of its own; there is one for each pair that turns."""
    powers = _powers(base, 2 * len(divisors))
    slower = [
        float32(1.0 / float32(divisor * power)) for divisor, power in zip(divisors, powers, strict=True)
    ]
    return _spec(slower, head_dim, magnitude)


def yarn_spec(*, base: float, head_dim: int, rotary_dim: int, yarn: Yarn, magnitude: float) -> RopeSpec:
    """The frequencies of YaRN, rounded as transformers rounds them."""
    low, high = (
        rotary_dim * log(yarn.original_context / (beta * 2.0 * pi)) / (2.0 * log(base))
        for beta in (yarn.beta_fast, yarn.beta_slow)
    )
    first, last = max(floor(low), 0), min(ceil(high), rotary_dim - 1)
    span = max(last - first, 0.001)
    frequencies = []
    for index, power in enumerate(_powers(base, rotary_dim)):
        kept = float32(1.0 - float32(min(max((index - first) / span, 0.0), 1.0)))
        stretched = float32(float32(1.0 / float32(yarn.factor * power)) * float32(1.0 - kept))
        frequencies.append(float32(stretched + float32(float32(1.0 / power) * kept)))
    return _spec(frequencies, head_dim, magnitude)


def _powers(base: float, rotary_dim: int) -> list[float]:
    return [float32(base ** float32(index / rotary_dim)) for index in range(0, rotary_dim, 2)]


def _spec(frequencies: list[float], head_dim: int, magnitude: float = 1.0) -> RopeSpec:
    still = [0.0] * (head_dim // 2 - len(frequencies))
    return RopeSpec(inverse_frequencies=(*frequencies, *still), magnitude=magnitude)
