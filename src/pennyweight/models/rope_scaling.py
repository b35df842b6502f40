"""How a model stretches its rotation beyond the positions it was trained on: `rope.*` keys and rope tensors.

Linear (Chen et al. 2023) and YaRN (Peng et al. 2023) are keys. Llama 3's scaling is a tensor of divisors,
LongRoPE (Ding et al. 2024) has two of them: the long one is for an engine that is opened with more positions
than the model was trained on at first, for short and long texts alike, since keys are cached as they were
rotated. Keys and tensors are those that llama.cpp's converter writes.
"""

from __future__ import annotations

import struct
from math import isfinite, log, sqrt
from typing import TYPE_CHECKING, Final

from pennyweight.errors import ModelFileError
from pennyweight.models.rope import Yarn, divided_spec, rope_spec, yarn_spec

if TYPE_CHECKING:
    from pennyweight.models.hyperparameters import Hyperparameters
    from pennyweight.models.shapes import Shapes
    from pennyweight.models.source import ModelTable
    from pennyweight.models.spec import RopeSpec

DIVISORS: Final = "rope_freqs.weight"
LONG_DIVISORS: Final = "rope_factors_long.weight"
SHORT_DIVISORS: Final = "rope_factors_short.weight"
ROPE_TENSORS: Final = (DIVISORS, LONG_DIVISORS, SHORT_DIVISORS)

_MIN_FACTOR = 0.01  # smaller ones would overflow float32 in the end
_MAX_FACTOR = 1e6


def read_rope(keys: Hyperparameters, source: ModelTable, shapes: Shapes, context: int | None) -> RopeSpec:
    """The rotation that all layers share. ModelFileError for keys and tensors that disagree."""
    head_dim = shapes.head_dim
    rotary_dim = keys.integer("rope.dimension_count", default=head_dim, high=head_dim)
    if rotary_dim % 2:
        raise keys.fail("rope.dimension_count", rotary_dim, "an even number")
    base = keys.number("rope.freq_base", default=10_000.0, low=1.0, high=1e12)
    kind = _kind(keys, source)
    if kind == "longrope":
        divisors, magnitude = _longrope(keys, source, shapes, rotary_dim, context)
        return divided_spec(base=base, head_dim=head_dim, divisors=divisors, magnitude=magnitude)
    if kind == "yarn":
        yarn, magnitude = _yarn(keys, base)
        return yarn_spec(base=base, head_dim=head_dim, rotary_dim=rotary_dim, yarn=yarn, magnitude=magnitude)
    factor = _linear(keys, kind)
    if DIVISORS not in source.tensors:
        return rope_spec(base=base, head_dim=head_dim, rotary_dim=rotary_dim, linear_factor=factor)
    if factor != 1.0:
        raise keys.fail("rope.scaling.factor", factor, f"none beside the tensor {DIVISORS!r}")
    divisors = _vector(source, DIVISORS, rotary_dim // 2)
    return divided_spec(base=base, head_dim=head_dim, divisors=divisors)


def linear_factor(keys: Hyperparameters, source: ModelTable) -> float:
    """The factor of a family that knows no other scaling, 1 without."""
    for name in ROPE_TENSORS:
        if name in source.tensors:
            raise ModelFileError(
                f"tensor {name!r} has no part in this engine's decoder of {keys.architecture}; "
                "use another model file"
            )
    return _linear(keys, _kind(keys, source, "none", "linear"))


def _kind(keys: Hyperparameters, source: ModelTable, *allowed: str) -> str | None:
    """`rope.scaling.type`, LongRoPE also by its tensors: the converter of Phi-3 writes no type."""
    allowed = allowed or ("none", "linear", "yarn", "longrope")
    kind = keys.take("rope.scaling.type")
    if kind is not None and kind not in allowed:
        raise keys.fail("rope.scaling.type", kind, " or ".join(map(repr, allowed)))
    long = [name for name in (LONG_DIVISORS, SHORT_DIVISORS) if name in source.tensors]
    if kind is None and long:
        kind = "longrope"
    unfit = [*long] if kind != "longrope" else []
    if kind in ("yarn", "longrope") and DIVISORS in source.tensors:
        unfit.append(DIVISORS)
    for name in unfit:
        raise keys.fail("rope.scaling.type", kind, f"a scaling that goes with the tensor {name!r}")
    return None if kind is None else str(kind)


def _linear(keys: Hyperparameters, kind: str | None) -> float:
    """`finetuned` and `original_context_length` say how the model was made; linear scaling ignores them."""
    keys.ignore("rope.scaling.finetuned", "rope.scaling.original_context_length")
    keys.only("rope.scaling.attn_factor", 1.0)
    factor = keys.number("rope.scaling.factor", default=1.0, low=0.0, high=_MAX_FACTOR)
    if kind == "none" or factor == 0.0:  # 0 is how converters write "not scaled"
        return 1.0
    if factor < _MIN_FACTOR:
        raise keys.fail("rope.scaling.factor", factor, f"0 or at least {_MIN_FACTOR}")
    return factor


def _yarn(keys: Hyperparameters, base: float) -> tuple[Yarn, float]:
    """The scaling and its magnitude: stated, or from the factor as transformers and llama.cpp do."""
    if base <= 1.0:
        raise keys.fail("rope.freq_base", base, "more than 1 where YaRN counts turns")
    keys.ignore("rope.scaling.finetuned")
    keys.only("rope.scaling.attn_factor", 1.0)
    keys.only("rope.scaling.yarn_ext_factor", 1.0, -1.0)  # -1 is llama.cpp's "not set"
    yarn = Yarn(
        factor=keys.number("rope.scaling.factor", low=_MIN_FACTOR, high=_MAX_FACTOR),
        original_context=keys.integer("rope.scaling.original_context_length"),
        beta_fast=keys.number("rope.scaling.yarn_beta_fast", default=32.0, low=1e-3, high=1e6),
        beta_slow=keys.number("rope.scaling.yarn_beta_slow", default=1.0, low=1e-3, high=1e6),
    )
    every_dim = keys.number("rope.scaling.yarn_log_multiplier", default=0.0, low=0.0, high=1e3)
    usual = _mscale(yarn.factor, 1.0) / _mscale(yarn.factor, every_dim)
    return yarn, keys.number("rope.scaling.yarn_attn_factor", default=usual, low=1e-3, high=1e3)


def _mscale(factor: float, multiplier: float) -> float:
    return 1.0 if factor <= 1.0 else 0.1 * multiplier * log(factor) + 1.0


def _longrope(
    keys: Hyperparameters, source: ModelTable, shapes: Shapes, rotary_dim: int, context: int | None
) -> tuple[tuple[float, ...], float]:
    """Divisors, and the magnitude: what the converter wrote, or what it would have written."""
    keys.ignore("rope.scaling.finetuned")
    keys.only("rope.scaling.factor", 0.0, 1.0)
    whole = shapes.context_length
    original = keys.integer("rope.scaling.original_context_length", default=max(whole, 2), low=2)
    long, short = (_vector(source, name, rotary_dim // 2) for name in (LONG_DIVISORS, SHORT_DIVISORS))
    usual = sqrt(1.0 + log(whole / original) / log(original)) if whole > original else 1.0
    magnitude = keys.number("rope.scaling.attn_factor", default=usual, low=1e-3, high=1e3)
    return long if (context or whole) > original else short, magnitude


def _vector(source: ModelTable, name: str, size: int) -> tuple[float, ...]:
    """Divisors of frequencies. ModelFileError if they are missing or cannot be such."""
    tensor = source.tensors.get(name)
    if tensor is None:
        raise ModelFileError(f"the tensor {name!r} is missing; the file is not a complete model")
    if tensor.shape != (size,) or tensor.type != "F32":
        raise ModelFileError(
            f"tensor {name!r} has the shape {tensor.shape} and the type {tensor.type}; expected {size} of F32"
        )
    values = struct.unpack(f"<{size}f", source.read(name))
    for value in values:
        if not isfinite(value) or not _MIN_FACTOR <= value <= _MAX_FACTOR:
            raise ModelFileError(
                f"tensor {name!r} holds {value}; divisors are from {_MIN_FACTOR} to {_MAX_FACTOR:g}"
            )
    return values
