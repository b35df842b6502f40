"""The `minicpm` architecture, MiniCPM 1, 2 and 4: Llama with scaled embeddings, residuals and logits.

The scales make hyperparameters found on small widths fit larger ones (Hu et al. 2024). `logit_scale` of the
file is a divisor. Rows of queries and keys are stored as Llama's.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING, Final

from pennyweight.models.decoder_roles import decoder_roles
from pennyweight.models.hyperparameters import Hyperparameters
from pennyweight.models.rope_scaling import read_rope
from pennyweight.models.shapes import plain_spec, read_shapes

if TYPE_CHECKING:
    from pennyweight.models.roles import DecoderRoles
    from pennyweight.models.source import ModelTable
    from pennyweight.models.spec import ModelSpec

NAME = "minicpm"
# Files of before December 2024 do not tell the scales; these were the models'.
_EMBEDDING_SCALE: Final = 12.0
_DEPTH_SCALE: Final = 1.4
_BASE_WIDTH: Final = 256


def describe(source: ModelTable, context: int | None) -> ModelSpec:
    """The decoder that `source` describes; ModelFileError names what it cannot be."""
    keys = Hyperparameters(source.metadata, architecture=NAME)
    shapes = read_shapes(keys, source.tensors)
    rope = read_rope(keys, source, shapes, context)
    depth_scale, width_scale = _DEPTH_SCALE / sqrt(shapes.num_layers), shapes.d_model / _BASE_WIDTH
    embedding_scale = keys.number("embedding_scale", default=_EMBEDDING_SCALE, low=1e-6, high=1e6)
    residual_scale = keys.number("residual_scale", default=depth_scale, low=1e-6, high=1e6)
    logit_divisor = keys.number("logit_scale", default=width_scale, low=1e-6, high=1e6)
    keys.only("expert_count", 0)
    keys.only("expert_used_count", 0)
    keys.finish()
    return replace(
        plain_spec(keys, shapes, rope),
        embedding_scale=embedding_scale,
        residual_scale=residual_scale,
        logit_scale=1.0 / logit_divisor,
    )


def roles(spec: ModelSpec, source: ModelTable) -> DecoderRoles:
    """Every tensor of the file in its role; one without a role is refused by name."""
    return decoder_roles(spec, source, rotary=source.rotary_rows)
