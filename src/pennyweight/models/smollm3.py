"""The `smollm3` architecture: Llama in which every fourth layer does not rotate (SmolLM3, 2025).

Rows of queries and keys are stored as Llama's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pennyweight.models.decoder_roles import decoder_roles
from pennyweight.models.hyperparameters import Hyperparameters
from pennyweight.models.rope_scaling import read_rope
from pennyweight.models.shapes import plain_spec, read_shapes
from pennyweight.models.spec import LayerSpec

if TYPE_CHECKING:
    from pennyweight.models.roles import DecoderRoles
    from pennyweight.models.source import ModelTable
    from pennyweight.models.spec import ModelSpec

NAME = "smollm3"
_UNROTATED_EVERY: Final = 4  # no key of the file says so


def describe(source: ModelTable, context: int | None) -> ModelSpec:
    """The decoder that `source` describes; ModelFileError names what it cannot be."""
    keys = Hyperparameters(source.metadata, architecture=NAME)
    shapes = read_shapes(keys, source.tensors)
    rope = read_rope(keys, source, shapes, context)
    keys.finish()
    layers = (
        LayerSpec(rope=0 if (index + 1) % _UNROTATED_EVERY else None) for index in range(shapes.num_layers)
    )
    return replace(plain_spec(keys, shapes, rope), layers=tuple(layers))


def roles(spec: ModelSpec, source: ModelTable) -> DecoderRoles:
    """Every tensor of the file in its role; one without a role is refused by name."""
    return decoder_roles(spec, source, rotary=source.rotary_rows)
