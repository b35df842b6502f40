"""Rotary frequencies, rounded to float32 where the reference implementation rounds them.

`theta_i = base ** (-2 i / rotary_dim)` (Su et al. 2021, RoFormer). transformers computes exponent, power,
reciprocal and division by a linear factor each in float32; its vectorised power is rounded
otherwise in one of a hundred frequencies, by the last bit.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pennyweight.models.spec import RopeSpec

if TYPE_CHECKING:
    from pennyweight.models.hyperparameters import Hyperparameters

_MIN_FACTOR = 0.01  # smaller ones would overflow float32 in the end
_FLOAT32 = struct.Struct("<f")


def float32(value: float) -> float:
    """The nearest float32."""
    return float(_FLOAT32.unpack(_FLOAT32.pack(value))[0])


def rope_spec(*, base: float, head_dim: int, rotary_dim: int, linear_factor: float = 1.0) -> RopeSpec:
    """Frequencies of `head_dim / 2` pairs, those beyond `rotary_dim / 2` zero: they do not turn.

    `linear_factor` stretches positions (position interpolation, Chen et al. 2023).
    """
    frequencies = []
    for index in range(0, rotary_dim, 2):
        power = float32(base ** float32(index / rotary_dim))
        frequencies.append(float32(float32(1.0 / power) / linear_factor))
    still = [0.0] * (head_dim // 2 - len(frequencies))
    return RopeSpec(inverse_frequencies=(*frequencies, *still))


def linear_factor(keys: Hyperparameters) -> float:
    """The factor of `rope.scaling.*`, 1 without; any scaling but linear is refused.

    `finetuned` and `original_context_length` say how the model was made; linear scaling ignores them.
    """
    keys.ignore("rope.scaling.finetuned", "rope.scaling.original_context_length")
    kind = keys.take("rope.scaling.type")
    if kind not in (None, "none", "linear"):
        raise keys.fail("rope.scaling.type", kind, "'none' or 'linear'")
    factor = keys.number("rope.scaling.factor", default=1.0, low=0.0, high=1e6)
    if kind == "none" or factor == 0.0:  # 0 is how converters write "not scaled"
        return 1.0
    if factor < _MIN_FACTOR:
        raise keys.fail("rope.scaling.factor", factor, f"0 or at least {_MIN_FACTOR}")
    return factor
