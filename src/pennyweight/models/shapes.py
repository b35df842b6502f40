"""The sizes every supported decoder has, read and checked together, and the plain decoder they make."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

from pennyweight.errors import ModelFileError
from pennyweight.models.hyperparameters import MAX_DIMENSION
from pennyweight.models.spec import LayerSpec, ModelSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.models.gguf_header import TensorInfo
    from pennyweight.models.hyperparameters import Hyperparameters
    from pennyweight.models.spec import RopeSpec

_MAX_HEAD_DIM = 256  # attention keeps a head in registers and on the stack


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """Dimensions in elements."""

    num_layers: int
    vocab_size: int
    context_length: int
    d_model: int
    d_ff: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    norm_eps: float


def read_shapes(keys: Hyperparameters, tensors: Mapping[str, TensorInfo]) -> Shapes:
    """Sizes from the keys, the vocabulary's from the embedding; ModelFileError for what cannot run."""
    vocab_size = _vocab_size(keys, tensors)
    num_heads = keys.integer("attention.head_count")
    d_model = keys.integer("embedding_length")
    head_dim = keys.integer("attention.key_length", default=max(d_model // num_heads, 1), high=_MAX_HEAD_DIM)
    keys.only("attention.value_length", head_dim)
    keys.only("attention.causal", True)
    shapes = Shapes(
        # every layer has tensors of its own, so their number bounds the loops over layers
        num_layers=keys.integer("block_count", high=max(len(tensors), 1)),
        vocab_size=vocab_size,
        context_length=keys.integer("context_length"),
        d_model=d_model,
        d_ff=keys.integer("feed_forward_length"),
        num_heads=num_heads,
        num_kv_heads=keys.integer("attention.head_count_kv", default=num_heads),
        head_dim=head_dim,
        norm_eps=keys.number("attention.layer_norm_rms_epsilon", low=1e-12, high=1.0),
    )
    _check_heads(keys, shapes)
    return shapes


def plain_spec(keys: Hyperparameters, shapes: Shapes, *ropes: RopeSpec) -> ModelSpec:
    """Llama's decoder in these sizes: every layer alike, SwiGLU, scores over the root of a head's size.

    Other families replace what they do otherwise.
    """
    return ModelSpec(
        architecture=keys.architecture,
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
        ropes=ropes,
        attention_scale=1.0 / sqrt(shapes.head_dim),
    )


def read_window(keys: Hyperparameters, shapes: Shapes) -> int | None:
    """`attention.sliding_window`; None if there is none (or 0), or it is as long as the context."""
    window = keys.integer("attention.sliding_window", default=0, low=0)
    return window if 0 < window < shapes.context_length else None


def _vocab_size(keys: Hyperparameters, tensors: Mapping[str, TensorInfo]) -> int:
    embedding = tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise ModelFileError("the file has no matrix 'token_embd.weight'; it is a vocabulary, not a model")
    vocab_size = embedding.shape[0]
    if vocab_size > MAX_DIMENSION:
        raise ModelFileError(f"the vocabulary has {vocab_size} tokens; at most {MAX_DIMENSION} are possible")
    keys.only("vocab_size", vocab_size)
    return vocab_size


def _check_heads(keys: Hyperparameters, shapes: Shapes) -> None:
    if shapes.num_heads % shapes.num_kv_heads:
        raise keys.fail(
            "attention.head_count_kv", shapes.num_kv_heads, f"a divisor of the {shapes.num_heads} heads"
        )
    if shapes.head_dim % 2:
        raise keys.fail("attention.key_length", shapes.head_dim, "an even number: its elements turn in pairs")
