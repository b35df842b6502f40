"""The `gemma2` architecture: pre- and post-norms, GeGLU, soft caps, a window in every other layer.

The first layer and every second one after it see a window, the others everything (Gemma Team 2024, Gemma 2).
GGUF stores `1 + weight` for every norm, so norms are used as they are.
"""

from __future__ import annotations

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

NAME = "gemma2"
_LAYERS_OF_27B: Final = 46


def describe(source: ModelTable, _context: int | None) -> ModelSpec:
    """The decoder that `source` describes; ModelFileError names what it cannot be."""
    keys = Hyperparameters(source.metadata, architecture=NAME)
    shapes = read_shapes(keys, source.tensors)
    head_dim = shapes.head_dim
    keys.only("rope.dimension_count", head_dim)
    base = keys.number("rope.freq_base", default=10_000.0, low=1.0, high=1e12)
    factor = linear_factor(keys, source)
    keys.only("attention.sliding_window_pattern", 2)
    window = keys.integer("attention.sliding_window", default=4096)
    attention_softcap = keys.number("attn_logit_softcapping", default=50.0, low=1e-3, high=1e6)
    logit_softcap = keys.number("final_logit_softcapping", default=30.0, low=1e-3, high=1e6)
    keys.finish()
    rope = rope_spec(base=base, head_dim=head_dim, rotary_dim=head_dim, linear_factor=factor)
    return replace(
        plain_spec(keys, shapes, rope),
        activation="gelu_tanh",
        layers=tuple(LayerSpec(window=None if index % 2 else window) for index in range(shapes.num_layers)),
        attention_scale=_attention_scale(shapes),
        embedding_scale=float32(sqrt(shapes.d_model)),
        post_norms=True,
        attention_softcap=attention_softcap,
        logit_softcap=logit_softcap,
    )


def roles(spec: ModelSpec, source: ModelTable) -> DecoderRoles:
    """Every tensor of the file in its role; one without a role is refused by name."""
    return decoder_roles(spec, source)


def _attention_scale(shapes: Shapes) -> float:
    """The 27B model alone scales by the width per head; no key of the file says so, only its depth."""
    if shapes.num_layers == _LAYERS_OF_27B:
        return 1.0 / sqrt(shapes.d_model / shapes.num_heads)
    return 1.0 / sqrt(shapes.head_dim)
