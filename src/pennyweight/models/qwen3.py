"""The `qwen3` architecture: Llama with an RMSNorm of every query and key head (Qwen Team 2025)."""

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

NAME = "qwen3"


def describe(source: ModelTable, context: int | None) -> ModelSpec:
    """The decoder that `source` describes; ModelFileError names what it cannot be."""
    keys = Hyperparameters(source.metadata, architecture=NAME)
    shapes = read_shapes(keys, source.tensors)
    keys.only("rope.dimension_count", shapes.head_dim)
    rope = read_rope(keys, source, shapes, context)
    keys.finish()
    return replace(plain_spec(keys, shapes, rope), qk_norm="head")


def roles(spec: ModelSpec, source: ModelTable) -> DecoderRoles:
    """Every tensor of the file in its role; one without a role is refused by name."""
    return decoder_roles(spec, source)
