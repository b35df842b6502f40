"""The `phi3` architecture, Phi-3, 3.5, 4 and 4-mini (Abdin et al. 2024).

Llama with fused projections, LongRoPE in the long-context files, heads that turn in part (4-mini) and, where
the file tells one, a window in every layer, as transformers has it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pennyweight.models.decoder_roles import decoder_roles
from pennyweight.models.hyperparameters import Hyperparameters
from pennyweight.models.rope_scaling import read_rope
from pennyweight.models.shapes import plain_spec, read_shapes, read_window
from pennyweight.models.spec import LayerSpec

if TYPE_CHECKING:
    from pennyweight.models.roles import DecoderRoles
    from pennyweight.models.source import ModelTable
    from pennyweight.models.spec import ModelSpec

NAME = "phi3"


def describe(source: ModelTable, context: int | None) -> ModelSpec:
    """The decoder that `source` describes; ModelFileError names what it cannot be."""
    keys = Hyperparameters(source.metadata, architecture=NAME)
    shapes = read_shapes(keys, source.tensors)
    rope = read_rope(keys, source, shapes, context)
    window = read_window(keys, shapes)
    keys.finish()
    return replace(plain_spec(keys, shapes, rope), layers=(LayerSpec(window=window),) * shapes.num_layers)


def roles(spec: ModelSpec, source: ModelTable) -> DecoderRoles:
    """Every tensor of the file in its role; one without a role is refused by name."""
    return decoder_roles(spec, source, projections="fused")
