"""Random decoders of a few thousand weights, as plain data and for either implementation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pennyweight.models.spec import ExpertSpec, LayerSpec, ModelSpec, RopeSpec
from tests.native.random_blocks import SUPER_TYPES, Blocks, random_blocks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class TinyDecoder:
    """`matrices` and `norms` (and biases) by the names of `reference.Tensors`."""

    spec: ModelSpec
    matrices: Mapping[str, Blocks]
    norms: Mapping[str, np.ndarray]

    def tensors(self) -> dict[str, Any]:
        return {name: blocks.weights() for name, blocks in self.matrices.items()} | dict(self.norms)


def frequencies(head_dim: int, base: float) -> RopeSpec:
    half = head_dim // 2
    return RopeSpec(inverse_frequencies=tuple(base ** (-i / half) for i in range(half)))


def llama(types: Sequence[str] = ("Q4_1",), *, seed: int = 0, **changes: Any) -> TinyDecoder:
    """Two layers, grouped queries, tied head. `types` are dealt out to the matrices in turn."""
    wide = any(type in SUPER_TYPES for type in types)
    shape = {
        "architecture": "llama",
        "vocab_size": 131,
        "d_model": 256 if wide else 96,
        "num_heads": 4 if wide else 3,
        "num_kv_heads": 2 if wide else 1,
        "head_dim": 64 if wide else 32,
        "d_ff": 256 if wide else 160,
        "context_length": 1024,
        "norm_eps": 1e-5,
        "activation": "silu",
        "layers": (LayerSpec(), LayerSpec()),
        **changes,
    }
    shape.setdefault("ropes", (frequencies(shape["head_dim"], 10000.0),))
    shape.setdefault("attention_scale", shape["head_dim"] ** -0.5)
    return _fill(ModelSpec(**shape), types, seed=seed)


def gemma3(types: Sequence[str] = ("Q8_0",), *, seed: int = 0, **changes: Any) -> TinyDecoder:
    """Three layers, two of them with a window of 70, QK-norms, post-norms, GeGLU, two rotary bases."""
    wide = any(type in SUPER_TYPES for type in types)
    head_dim = changes.get("head_dim", 64)
    shape = {
        "num_heads": 4,
        "num_kv_heads": 1,
        "head_dim": head_dim,
        "norm_eps": 1e-6,
        "activation": "gelu_tanh",
        "layers": (LayerSpec(window=70), LayerSpec(window=None, rope=1), LayerSpec(window=70)),
        "ropes": (frequencies(head_dim, 10000.0), frequencies(head_dim, 1e6)),
        "attention_scale": 256**-0.5,
        "embedding_scale": (256 if wide else 96) ** 0.5,
        "qk_norm": "head",
        "post_norms": True,
        **changes,
    }
    return llama(types, seed=seed, **({"architecture": "gemma3"} | shape))


def olmo(types: Sequence[str] = ("F16",), *, seed: int = 0, **changes: Any) -> TinyDecoder:
    """No norms before, norms of all heads as one, biases, a layer without rotation, a residual scale."""
    shape = {
        "layers": (LayerSpec(), LayerSpec(rope=None), LayerSpec(window=70)),
        "pre_norms": False,
        "post_norms": True,
        "qk_norm": "projection",
        "biases": True,
        "residual_scale": 0.7,
        **changes,
    }
    return llama(types, seed=seed, **({"architecture": "olmo2"} | shape))


def capped(types: Sequence[str] = ("Q8_0",), *, seed: int = 0, **changes: Any) -> TinyDecoder:
    """Soft caps of scores and logits, a rope magnitude beside pairs that do not turn, logit scale, biases."""
    rope = frequencies(64, 10000.0)
    some = (*rope.inverse_frequencies[:28], 0.0, 0.0, 0.0, 0.0)
    still = RopeSpec(inverse_frequencies=some, magnitude=1.25)
    shape = {
        "head_dim": 64,
        "ropes": (rope, still),
        "layers": (LayerSpec(window=70), LayerSpec(rope=1)),
        "biases": True,
        "attention_scale": 0.5,
        "attention_softcap": 3.0,
        "logit_softcap": 2.0,
        "logit_scale": 0.75,
        **changes,
    }
    return llama(types, seed=seed, **({"architecture": "gemma2"} | shape))


def experts(types: Sequence[str] = ("Q8_0",), *, seed: int = 0, **changes: Any) -> TinyDecoder:
    """Two of five experts, their weights normalised."""
    wide = any(type.endswith("K") for type in types)
    spec = ExpertSpec(count=5, used=2, d_ff=256 if wide else 64, normalize=True)
    spec = changes.pop("experts", spec)
    return llama(types, seed=seed, **({"experts": spec, "d_ff": spec.d_ff} | changes))


def _fill(spec: ModelSpec, types: Sequence[str], *, seed: int) -> TinyDecoder:
    rng = np.random.default_rng(seed)
    heads, kv = spec.num_heads * spec.head_dim, spec.num_kv_heads * spec.head_dim
    shapes = {
        "query": (heads, spec.d_model),
        "key": (kv, spec.d_model),
        "value": (kv, spec.d_model),
        "output": (spec.d_model, heads),
    }
    feed_forward = {"gate": (spec.d_ff, spec.d_model), "up": (spec.d_ff, spec.d_model)}
    feed_forward["down"] = (spec.d_model, spec.d_ff)
    if spec.experts is None:
        shapes |= feed_forward
    else:
        shapes["router"] = (spec.experts.count, spec.d_model)
        for expert in range(spec.experts.count):
            shapes |= {f"experts.{expert}.{part}": shape for part, shape in feed_forward.items()}
    named = {"embedding": (spec.vocab_size, spec.d_model)}
    for index in range(spec.num_layers):
        named |= {f"layers.{index}.{part}": shape for part, shape in shapes.items()}
    matrices = {
        name: random_blocks(rng, types[turn % len(types)], *shape)
        for turn, (name, shape) in enumerate(named.items())
    }
    return TinyDecoder(spec, matrices, _norms(spec, rng))


def _norms(spec: ModelSpec, rng: np.random.Generator) -> dict[str, np.ndarray]:
    heads, kv = spec.num_heads * spec.head_dim, spec.num_kv_heads * spec.head_dim
    sizes = {}
    if spec.pre_norms:
        sizes |= {"attention_norm": spec.d_model, "feed_forward_norm": spec.d_model}
    if spec.qk_norm == "head":
        sizes |= {"query_norm": spec.head_dim, "key_norm": spec.head_dim}
    if spec.qk_norm == "projection":
        sizes |= {"query_norm": heads, "key_norm": kv}
    if spec.post_norms:
        sizes |= {"post_attention_norm": spec.d_model, "post_feed_forward_norm": spec.d_model}
    named = {f"layers.{i}.{part}": size for i in range(spec.num_layers) for part, size in sizes.items()}
    named["final_norm"] = spec.d_model
    norms = {name: rng.uniform(0.5, 1.5, size).astype(np.float32) for name, size in named.items()}
    biases = {"query_bias": heads, "key_bias": kv, "value_bias": kv, "output_bias": spec.d_model}
    for index in range(spec.num_layers if spec.biases else 0):
        for part, size in biases.items():
            norms[f"layers.{index}.{part}"] = rng.normal(0, 0.3, size).astype(np.float32)
    return norms


def random_tokens(spec: ModelSpec, count: int, *, seed: int = 1) -> list[int]:
    return [int(t) for t in np.random.default_rng(seed).integers(0, spec.vocab_size, count)]
