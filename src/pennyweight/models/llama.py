"""The `llama` architecture: RMSNorm, rotary positions, grouped-query attention, SwiGLU (Touvron et al. 2023).

SmolLM, SmolLM2 and most Llama- and Mistral-shaped files carry this name. GGUF stores the rows of queries and
keys for interleaved rotation; the row map undoes that. Llama 3's `rope_freqs.weight` is refused by name.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from pennyweight.models.hyperparameters import Hyperparameters
from pennyweight.models.roles import DecoderRoles, decoder_roles
from pennyweight.models.rope import linear_factor, rope_spec
from pennyweight.models.shapes import read_shapes
from pennyweight.models.spec import LayerSpec, ModelSpec

if TYPE_CHECKING:
    from pennyweight.models.source import ModelTable

NAME = "llama"


def describe(source: ModelTable, context: int | None = None) -> ModelSpec:  # noqa: ARG001
    """The decoder that `source` describes; ModelFileError names what it cannot be."""
    keys = Hyperparameters(source.metadata, architecture=NAME)
    shapes = read_shapes(keys, source.tensors)
    rotary_dim = keys.integer("rope.dimension_count", default=shapes.head_dim, high=shapes.head_dim)
    if rotary_dim % 2:
        raise keys.fail("rope.dimension_count", rotary_dim, "an even number")
    base = keys.number("rope.freq_base", default=10_000.0, low=1.0, high=1e12)
    rope = rope_spec(
        base=base, head_dim=shapes.head_dim, rotary_dim=rotary_dim, linear_factor=linear_factor(keys)
    )
    keys.only("attention.causal", True)
    keys.only("expert_count", 0)
    keys.only("expert_used_count", 0)
    keys.only("tensor_data_layout", "Meta AI original pth")
    keys.finish()
    return ModelSpec(
        architecture=NAME,
        vocab_size=shapes.vocab_size,
        d_model=shapes.d_model,
        num_heads=shapes.num_heads,
        num_kv_heads=shapes.num_kv_heads,
        head_dim=shapes.head_dim,
        d_ff=shapes.d_ff,
        context_length=shapes.context_length,
        norm_eps=shapes.norm_eps,
        activation="silu",
        layers=(LayerSpec(),) * shapes.num_layers,
        ropes=(rope,),
        attention_scale=1.0 / sqrt(shapes.head_dim),
    )


def roles(spec: ModelSpec, source: ModelTable) -> DecoderRoles:
    """Every tensor of the file in its role; one without a role (a bias, an expert) is refused by name."""
    return decoder_roles(spec, source, interleaved=source.rotary_rows == "interleaved")
