"""What a decoder is, as data. One architecture file turns a model file's metadata into a `ModelSpec`.

The native decoder is one parameterised function; everything in which the supported families differ is a field
here. A difference that has no field is refused by name when the file is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pennyweight.kv_format import KvFormat, kv_head_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeSpec:
    """Rotary positions: dimensions `i` and `i + half` of a head turn together by `position * frequency[i]`.

    `inverse_frequencies` has `half` entries in radians per position; scaling of any kind is already in them,
    and pairs that do not turn have 0. `magnitude` multiplies cosine and sine of the pairs that turn (the
    attention factor of YaRN and LongRoPE).
    """

    inverse_frequencies: tuple[float, ...]
    magnitude: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """`window` is the number of most recent positions a query sees, itself included; None sees all."""

    window: int | None = None
    rope: int | None = 0  # index into ModelSpec.ropes; None: queries and keys are not rotated


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertSpec:
    """A feed-forward of `count` experts, `used` of them for each token, chosen by a router.

    Their weights are the softmax of all router logits; the `used` largest count (of equal ones the first),
    divided by their sum if `normalize`, times `scale`. `d_ff` is one expert's width. (Jiang et al. 2024,
    Mixtral of Experts.)
    """

    count: int
    used: int
    d_ff: int
    normalize: bool
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Shapes and constants of one decoder-only transformer. Dimensions are in elements."""

    architecture: str
    vocab_size: int
    d_model: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    d_ff: int
    context_length: int  # positions the model was made for
    norm_eps: float
    activation: Literal["silu", "gelu_tanh"]
    layers: tuple[LayerSpec, ...]
    ropes: tuple[RopeSpec, ...]
    attention_scale: float  # multiplies q.k
    embedding_scale: float = 1.0
    norm: Literal["rmsnorm"] = "rmsnorm"
    pre_norms: bool = True  # RMSNorm of attention's and feed-forward's input
    post_norms: bool = False  # RMSNorm of attention's and feed-forward's output before the residual sum
    biases: bool = False  # of queries, keys, values and, where a file has one, attention's output
    attention: Literal["causal"] = "causal"
    qk_norm: Literal["none", "head", "projection"] = "none"
    """RMSNorm before the rotation: of every query and key head, or of all heads of a token as one vector."""
    attention_softcap: float = 0.0  # scores become `cap * tanh(score / cap)`; 0: they stay
    logit_softcap: float = 0.0
    residual_scale: float = 1.0  # multiplies attention's and feed-forward's output before the residual sum
    logit_scale: float = 1.0  # multiplies the logits, before their cap
    experts: ExpertSpec | None = None  # None: one feed-forward of width `d_ff`
    kv_format: KvFormat = "int8"  # no trait of the model: what whoever opens it keeps keys and values in

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of keys and values in all layers, with their scales."""
        return self.num_layers * self.num_kv_heads * kv_head_bytes(self.kv_format, self.head_dim)
