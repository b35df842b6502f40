"""The `olmo2` architecture: norms after attention and feed-forward only, and of all query heads together.

Groeneveld et al. 2024 (OLMo 2). OLMo 3 carries the same name with windows; it is refused by their key.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pennyweight.models.decoder_roles import decoder_roles
from pennyweight.models.hyperparameters import Hyperparameters
from pennyweight.models.rope_scaling import read_rope
from pennyweight.models.shapes import plain_spec, read_shapes

if TYPE_CHECKING:
    from pennyweight.models.roles import DecoderRoles
    from pennyweight.models.source import ModelTable
    from pennyweight.models.spec import ModelSpec

NAME = "olmo2"


def describe(source: ModelTable, context: int | None) -> ModelSpec:
    """The decoder that `source` describes; ModelFileError names what it cannot be."""
    keys = Hyperparameters(source.metadata, architecture=NAME)
    shapes = read_shapes(keys, source.tensors)
    keys.only("rope.dimension_count", shapes.head_dim)
    keys.only("attention.sliding_window", 0)
    rope = read_rope(keys, source, shapes, context)
    keys.finish()
    return replace(plain_spec(keys, shapes, rope), pre_norms=False, post_norms=True, qk_norm="projection")


def roles(spec: ModelSpec, source: ModelTable) -> DecoderRoles:
    """Every tensor of the file in its role; one without a role is refused by name."""
    return decoder_roles(spec, source)
