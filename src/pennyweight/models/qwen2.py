"""The `qwen2` architecture, Qwen 2 and 2.5: Llama with biases of queries, keys, values (Qwen Team 2024)."""

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

NAME = "qwen2"


def describe(source: ModelTable, context: int | None) -> ModelSpec:
    """The decoder that `source` describes; ModelFileError names what it cannot be."""
    keys = Hyperparameters(source.metadata, architecture=NAME)
    shapes = read_shapes(keys, source.tensors)
    rope = read_rope(keys, source, shapes, context)
    keys.finish()
    return replace(plain_spec(keys, shapes, rope), biases=True)


def roles(spec: ModelSpec, source: ModelTable) -> DecoderRoles:
    """Every tensor of the file in its role; one without a role is refused by name."""
    return decoder_roles(spec, source)
