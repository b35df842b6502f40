"""The `llama` architecture: RMSNorm, rotary positions, grouped-query attention, SwiGLU (Touvron et al. 2023).

Llama 2 and 3, SmolLM and SmolLM2, Mistral (with its window, where a file tells one), Mistral NeMo (heads of
another size than their share of the width) and Mixtral (experts) carry this name. GGUF stores the rows of
queries and keys for interleaved rotation; the row map undoes that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pennyweight.models.decoder_roles import decoder_roles
from pennyweight.models.experts import read_experts
from pennyweight.models.hyperparameters import Hyperparameters
from pennyweight.models.rope_scaling import read_rope
from pennyweight.models.shapes import plain_spec, read_shapes, read_window
from pennyweight.models.spec import LayerSpec

if TYPE_CHECKING:
    from pennyweight.models.roles import DecoderRoles
    from pennyweight.models.source import ModelTable
    from pennyweight.models.spec import ModelSpec

NAME = "llama"


def describe(source: ModelTable, context: int | None) -> ModelSpec:
    """The decoder that `source` describes; ModelFileError names what it cannot be."""
    keys = Hyperparameters(source.metadata, architecture=NAME)
    shapes = read_shapes(keys, source.tensors)
    rope = read_rope(keys, source, shapes, context)
    window = read_window(keys, shapes)
    experts = read_experts(keys, shapes.d_ff)
    keys.only("tensor_data_layout", "Meta AI original pth")
    keys.finish()
    return replace(
        plain_spec(keys, shapes, rope),
        layers=(LayerSpec(window=window),) * shapes.num_layers,
        biases="blk.0.attn_q.bias" in source.tensors,
        d_ff=shapes.d_ff if experts is None else experts.d_ff,
        experts=experts,
    )


def roles(spec: ModelSpec, source: ModelTable) -> DecoderRoles:
    """Every tensor of the file in its role; one without a role is refused by name."""
    return decoder_roles(spec, source, rotary=source.rotary_rows)
