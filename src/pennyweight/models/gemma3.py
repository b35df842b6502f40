"""The `gemma3` architecture, text part: QK-norm, pre- and post-norms, GeGLU, windows, two rotary bases.

Five of six layers see a window and turn with a base of 10,000, every sixth sees everything with a base of its
own (Gemma Team 2025, Gemma 3 technical report). GGUF stores `1 + weight` for every norm, so norms are used as
they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING, Final

from pennyweight.models.decoder_roles import decoder_roles
from pennyweight.models.hyperparameters import Hyperparameters
from pennyweight.models.rope import float32, rope_spec
from pennyweight.models.rope_scaling import linear_factor
from pennyweight.models.shapes import Shapes, plain_spec, read_shapes
from pennyweight.models.spec import LayerSpec

if TYPE_CHECKING:
    from pennyweight.models.roles import DecoderRoles
    from pennyweight.models.source import ModelTable
    from pennyweight.models.spec import ModelSpec

NAME = "gemma3"
_LOCAL, _GLOBAL = 0, 1  # indices into ModelSpec.ropes
_LAYERS_OF_27B: Final = 62


def describe(source: ModelTable, _context: int | None) -> ModelSpec:
    """The decoder that `source` describes; ModelFileError names what it cannot be."""
    keys = Hyperparameters(source.metadata, architecture=NAME)
    shapes = read_shapes(keys, source.tensors)
    head_dim = shapes.head_dim
    keys.only("rope.dimension_count", head_dim)
    local_base = keys.number("rope.freq_base_swa", default=10_000.0, low=1.0, high=1e12)
    global_base = keys.number("rope.freq_base", default=1_000_000.0, low=1.0, high=1e12)
    layers = _layers(keys, shapes)
    factor = linear_factor(keys, source)  # of the global layers only
    keys.only("attn_logit_softcapping", 0.0)
    keys.only("final_logit_softcapping", 0.0)
    keys.finish()
    local = rope_spec(base=local_base, head_dim=head_dim, rotary_dim=head_dim)
    everywhere = rope_spec(base=global_base, head_dim=head_dim, rotary_dim=head_dim, linear_factor=factor)
    return replace(
        plain_spec(keys, shapes, local, everywhere),
        activation="gelu_tanh",
        layers=layers,
        attention_scale=_attention_scale(shapes),
        embedding_scale=float32(sqrt(shapes.d_model)),
        qk_norm="head",
        post_norms=True,
    )


def roles(spec: ModelSpec, source: ModelTable) -> DecoderRoles:
    """Every tensor of the file in its role; one without a role is refused by name."""
    return decoder_roles(spec, source)


def _layers(keys: Hyperparameters, shapes: Shapes) -> tuple[LayerSpec, ...]:
    """`sliding_window_pattern` is a period (the last layer of each is global) or one boolean per layer."""
    window = keys.integer("attention.sliding_window")
    pattern = keys.take("attention.sliding_window_pattern")
    if pattern is None:
        pattern = 6
    if type(pattern) is int and pattern >= 1:
        local = [(index + 1) % pattern != 0 for index in range(shapes.num_layers)]
    elif isinstance(pattern, Sequence) and len(pattern) == shapes.num_layers:
        local = [bool(entry) for entry in pattern]
    else:
        raise keys.fail("attention.sliding_window_pattern", pattern, "a period or one boolean per layer")
    return tuple(
        LayerSpec(window=window, rope=_LOCAL) if is_local else LayerSpec(rope=_GLOBAL) for is_local in local
    )


def _attention_scale(shapes: Shapes) -> float:
    """The 27B model alone scales by the width per head; no key of the file says so, only its depth."""
    if shapes.num_layers == _LAYERS_OF_27B:
        return 1.0 / sqrt(shapes.d_model / shapes.num_heads)
    return 1.0 / sqrt(shapes.head_dim)
