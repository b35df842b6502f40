"""The `qwen3moe` architecture: Qwen 3 with experts in every layer (Qwen Team 2025)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pennyweight.models.decoder_roles import decoder_roles
from pennyweight.models.experts import read_experts
from pennyweight.models.hyperparameters import Hyperparameters
from pennyweight.models.rope_scaling import read_rope
from pennyweight.models.shapes import plain_spec, read_shapes

if TYPE_CHECKING:
    from pennyweight.models.roles import DecoderRoles
    from pennyweight.models.source import ModelTable
    from pennyweight.models.spec import ModelSpec

NAME = "qwen3moe"


def describe(source: ModelTable, context: int | None) -> ModelSpec:
    """The decoder that `source` describes; ModelFileError names what it cannot be."""
    keys = Hyperparameters(source.metadata, architecture=NAME)
    shapes = read_shapes(keys, source.tensors)
    keys.only("rope.dimension_count", shapes.head_dim)
    rope = read_rope(keys, source, shapes, context)
    experts = read_experts(keys, shapes.d_ff)
    if experts is None:
        raise keys.fail("expert_count", 0, "at least one")
    keys.finish()
    return replace(plain_spec(keys, shapes, rope), qk_norm="head", d_ff=experts.d_ff, experts=experts)


def roles(spec: ModelSpec, source: ModelTable) -> DecoderRoles:
    """Every tensor of the file in its role; one without a role is refused by name."""
    return decoder_roles(spec, source)
