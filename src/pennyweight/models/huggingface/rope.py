"""Rotary scaling of a `config.json` as GGUF says it: keys, and factors per frequency as tensors.

Kinds and their arithmetic: https://huggingface.co/docs/transformers/internal/rope_utils
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log, pi, sqrt
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import ModelFileError
from pennyweight.models.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SECTION: Final = "rope_parameters"
_LARGEST: Final = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderRope:
    """`keys` are GGUF's without the architecture in front; `tensors` are factors per frequency."""

    base: float
    rotary_dim: int
    keys: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Sequence[float]] = field(default_factory=dict)
    context_factor: float = 1.0  # positions beyond `max_position_embeddings` that the scaling gives


def read_rope(
    config: Hyperparameters, *, head_dim: int, context: int, default_base: float = 10_000.0
) -> FolderRope:
    """From `rope_theta` and `rope_scaling`, or `rope_parameters` as transformers 5 writes both."""
    scaling, parameters = config.take("rope_scaling"), config.take("rope_parameters")
    base = config.number("rope_theta", default=default_base, low=1.0, high=_LARGEST)
    share = config.number("partial_rotary_factor", default=1.0, low=0.0, high=1.0)
    original = config.take("original_max_position_embeddings")
    values = _merged(config, scaling, parameters)
    base = values.number("rope_theta", default=base, low=1.0, high=_LARGEST)
    share = values.number("partial_rotary_factor", default=share, low=0.0, high=1.0)
    named, older = values.take("rope_type"), values.take("type")
    kind = older if named is None else named
    rotary_dim = int(head_dim * share)
    if kind in (None, "default"):
        values.finish()
        return FolderRope(base=base, rotary_dim=rotary_dim)
    rope = FolderRope(base=base, rotary_dim=rotary_dim)
    if kind == "linear":
        found = _linear(values, rope)
    elif kind == "llama3":
        found = _llama3(values, rope)
    elif kind == "yarn":
        found = _yarn(values, rope, context=context, original=original)
    elif kind in ("longrope", "su"):
        found = _longrope(values, rope, context=context, original=original)
    else:
        raise values.fail("rope_type", kind, "default, linear, llama3, yarn or longrope")
    values.finish()
    return found


def read_layer_ropes(
    config: Hyperparameters, *, head_dim: int, context: int, local_base: float, global_base: float
) -> tuple[FolderRope, float]:
    """Gemma 3's two: the rotation of layers that see everything, and the base of those with a window."""
    parameters = config.take("rope_parameters")
    local = config.number("rope_local_base_freq", default=local_base, low=1.0, high=_LARGEST)
    values: dict[str, Any] = {
        "rope_theta": config.take("rope_theta"),
        "rope_scaling": config.take("rope_scaling"),
    }
    if isinstance(parameters, dict) and {"full_attention", "sliding_attention"} & parameters.keys():
        near = _section(config, parameters.get("sliding_attention", {}))
        near.only("rope_type", "default")
        local = near.number("rope_theta", default=local, low=1.0, high=_LARGEST)
        near.finish()
        values["rope_parameters"] = parameters.get("full_attention")
    elif parameters is not None:
        values["rope_parameters"] = parameters
    whole = Hyperparameters(
        {f"config.json.{key}": value for key, value in values.items() if value is not None},
        architecture="config.json",
    )
    return read_rope(whole, head_dim=head_dim, context=context, default_base=global_base), local


def _merged(config: Hyperparameters, *sections: Any) -> Hyperparameters:
    merged: dict[str, Any] = {}
    for section in sections:
        if section is not None and not isinstance(section, dict):
            raise config.fail(_SECTION, section, "an object")
        merged |= section or {}
    return _section(config, merged)


def _section(config: Hyperparameters, values: Any) -> Hyperparameters:
    if not isinstance(values, dict):
        raise config.fail(_SECTION, values, "an object")
    given = {f"{_SECTION}.{key}": value for key, value in values.items() if value is not None}
    return Hyperparameters(given, architecture=_SECTION)


def _linear(values: Hyperparameters, rope: FolderRope) -> FolderRope:
    factor = values.number("factor", low=0.01, high=1e6)
    return FolderRope(
        base=rope.base,
        rotary_dim=rope.rotary_dim,
        keys={"rope.scaling.type": "linear", "rope.scaling.factor": factor},
    )


def _llama3(values: Hyperparameters, rope: FolderRope) -> FolderRope:
    """Long waves are stretched, short ones kept, between them a blend (Llama 3.1)."""
    factor = values.number("factor", low=1.0, high=1e6)
    low = values.number("low_freq_factor", low=1e-3, high=1e6)
    high = values.number("high_freq_factor", low=1e-3, high=1e6)
    original = values.integer("original_max_position_embeddings")
    if high <= low:
        raise values.fail("high_freq_factor", high, f"more than low_freq_factor, {low:g}")
    factors = []
    for index in range(0, rope.rotary_dim, 2):
        wavelength = 2 * pi * rope.base ** (index / rope.rotary_dim)
        if wavelength < original / high:
            factors.append(1.0)
        elif wavelength > original / low:
            factors.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return FolderRope(base=rope.base, rotary_dim=rope.rotary_dim, tensors={"rope_freqs.weight": factors})


def _yarn(values: Hyperparameters, rope: FolderRope, *, context: int, original: Any) -> FolderRope:
    """YaRN (Peng et al. 2023); what the file leaves out is left to the architecture's defaults."""
    factor = values.number("factor", low=1.0, high=1e6)
    length = values.integer("original_max_position_embeddings", default=original or context)
    keys: dict[str, Any] = {
        "rope.scaling.type": "yarn",
        "rope.scaling.factor": factor,
        "rope.scaling.original_context_length": length,
    }
    for name, key in (("beta_fast", "yarn_beta_fast"), ("beta_slow", "yarn_beta_slow")):
        if (value := values.take(name)) is not None:
            keys[f"rope.scaling.{key}"] = float(value)
    values.only("mscale", 1, 0)
    values.only("mscale_all_dim", 0)
    values.only("truncate", True)
    values.ignore("finetuned")
    attention = values.take("attention_factor")
    if attention is not None:
        keys["rope.scaling.yarn_attn_factor"] = float(attention)
    return FolderRope(
        base=rope.base,
        rotary_dim=rope.rotary_dim,
        keys=keys,
        context_factor=max(1.0, factor * length / context),
    )


def _longrope(values: Hyperparameters, rope: FolderRope, *, context: int, original: Any) -> FolderRope:
    """LongRoPE (Ding et al. 2024): one factor per frequency, others beyond the original context."""
    length = values.integer("original_max_position_embeddings", default=original)
    count = rope.rotary_dim // 2
    tensors = {
        f"rope_factors_{name}.weight": _factors(values, f"{name}_factor", count) for name in ("long", "short")
    }
    scale = max(1.0, values.number("factor", default=context / length, low=0.01, high=1e6))
    default = sqrt(1 + log(scale) / log(length)) if scale > 1.0 else 1.0
    magnitude = values.number("attention_factor", default=default, low=1e-3, high=1e3)
    for name in ("short_mscale", "long_mscale"):
        values.only(name, magnitude)
    return FolderRope(
        base=rope.base,
        rotary_dim=rope.rotary_dim,
        keys={
            "rope.scaling.original_context_length": length,
            "rope.scaling.attn_factor": magnitude,
        },
        tensors=tensors,
    )


def _factors(values: Hyperparameters, key: str, count: int) -> list[float]:
    found = values.take(key)
    if (
        not isinstance(found, list)
        or len(found) != count
        or not all(type(value) in (int, float) and 0.01 <= value <= 1e6 for value in found)
    ):
        raise ModelFileError(f"{_SECTION}.{key} is no list of {count} positive numbers, one per frequency")
    return [float(value) for value in found]
