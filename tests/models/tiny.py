"""Tiny random models as GGUF files: every shape and storage type in kilobytes, made in milliseconds.

`write_tiny_llama(path, kind="Q4_K", d_model=256)` and `write_tiny_gemma(path)` give files that load like real
ones. The weights are random but scaled so that activations stay near 1 and logits are lively: greedy text
depends on the prompt and does not fall into one token. The same arguments give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import sqrt
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tests.models.gguf_writer import RawTensor, write_gguf
from tests.models.quantise import quantise
from tests.models.tiny_vocabulary import bpe_vocabulary, spm_vocabulary

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WEIGHT_TYPES = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K")
"""Every type the engine reads. K types need rows of 256: see `k_shape`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyShape:
    """Sizes of a tiny model. `kind` is the type of the layers' matrices, `kinds` overrides it by name.

    `kinds` keys are the part of the tensor name, such as `attn_v`, `token_embd` or `output`. `rotary_dim`
    None: the whole head turns.
    """

    architecture: Literal["llama", "gemma3"] = "llama"
    kind: str = "Q4_0"
    kinds: dict[str, str] = field(default_factory=dict)
    num_layers: int = 2
    d_model: int = 64
    num_heads: int = 4
    num_kv_heads: int = 2
    head_dim: int = 16
    d_ff: int = 96
    rotary_dim: int | None = None
    window: int = 24  # gemma3
    tied: bool = True
    context_length: int = 512
    rope_base: float = 10_000.0
    seed: int = 0


def llama_shape(**changes: Any) -> TinyShape:
    """The usual tiny llama: 2 layers, 4 heads of 16 on 2 key heads, width 64."""
    return replace(TinyShape(kinds={"token_embd": "Q8_0"}), **changes)


def gemma_shape(**changes: Any) -> TinyShape:
    """The usual tiny gemma3: 7 layers, so that the sixth is global and another local one follows."""
    usual = TinyShape(
        architecture="gemma3",
        kinds={"token_embd": "Q8_0", "attn_v": "Q8_0", "ffn_down": "Q5_1"},
        kind="Q5_0",
        num_layers=7,
        num_kv_heads=1,
        head_dim=32,
        d_ff=128,
        rope_base=1_000_000.0,
    )
    return replace(usual, **changes)


def k_shape(shape: TinyShape, kind: str) -> TinyShape:
    """`shape` widened so that every matrix can be of the K type `kind`."""
    return replace(shape, kind=kind, kinds={}, d_model=256, d_ff=256, num_heads=256 // shape.head_dim)


def write_tiny_llama(path: Path, **changes: Any) -> Path:
    """Write a tiny llama; `changes` are fields of TinyShape."""
    return write_tiny(path, llama_shape(**changes))


def write_tiny_gemma(path: Path, **changes: Any) -> Path:
    """Write a tiny gemma3; `changes` are fields of TinyShape."""
    return write_tiny(path, gemma_shape(**changes))


def write_tiny(path: Path, shape: TinyShape) -> Path:
    """Write the model of `shape`."""
    return write_gguf(path, tiny_metadata(shape), tiny_tensors(shape))


def tiny_metadata(shape: TinyShape) -> dict[str, Any]:
    """All metadata: sizes, tokenizer, chat template."""
    name = shape.architecture
    metadata = {
        "general.architecture": name,
        "general.name": f"tiny {name}",
        f"{name}.block_count": shape.num_layers,
        f"{name}.context_length": shape.context_length,
        f"{name}.embedding_length": shape.d_model,
        f"{name}.feed_forward_length": shape.d_ff,
        f"{name}.attention.head_count": shape.num_heads,
        f"{name}.attention.head_count_kv": shape.num_kv_heads,
        f"{name}.attention.key_length": shape.head_dim,
        f"{name}.attention.value_length": shape.head_dim,
        f"{name}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{name}.rope.freq_base": shape.rope_base,
    }
    if name == "llama":
        metadata[f"{name}.rope.dimension_count"] = shape.rotary_dim or shape.head_dim
        return metadata | bpe_vocabulary()
    metadata[f"{name}.attention.sliding_window"] = shape.window
    return metadata | spm_vocabulary()


def tiny_tensors(shape: TinyShape) -> dict[str, RawTensor]:
    """All tensors, in the order the file has them."""
    random = np.random.default_rng(shape.seed)
    vocab_size = len(tiny_metadata(shape)["tokenizer.ggml.tokens"])
    tensors: dict[str, RawTensor] = {}

    def matrix(name: str, rows: int, columns: int, *, gain: float = 1.0) -> None:
        values = random.normal(size=(rows, columns)).astype(np.float32) * np.float32(gain / sqrt(columns))
        kind = shape.kinds.get(name.split(".")[-2], shape.kind)
        tensors[name] = RawTensor(kind, (rows, columns), quantise(values, kind))

    def norm(name: str, size: int, *, gain: float = 1.0) -> None:
        values: NDArray[np.float32] = (gain + 0.2 * gain * random.normal(size=size)).astype(np.float32)
        tensors[name] = RawTensor("F32", (size,), quantise(values, "F32"))

    # small embeddings under a large final norm: a tied head must not answer each token with itself
    matrix("token_embd.weight", vocab_size, shape.d_model, gain=0.3)
    for index in range(shape.num_layers):
        _layer(f"blk.{index}", shape, matrix, norm)
    norm("output_norm.weight", shape.d_model, gain=10.0)
    if not shape.tied:
        matrix("output.weight", vocab_size, shape.d_model, gain=0.3)
    return tensors


def _layer(prefix: str, shape: TinyShape, matrix: Any, norm: Any) -> None:
    query_rows, key_rows = shape.num_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
    norm(f"{prefix}.attn_norm.weight", shape.d_model)
    matrix(f"{prefix}.attn_q.weight", query_rows, shape.d_model, gain=1.5)  # so that attention has peaks
    matrix(f"{prefix}.attn_k.weight", key_rows, shape.d_model, gain=1.5)
    matrix(f"{prefix}.attn_v.weight", key_rows, shape.d_model)
    matrix(f"{prefix}.attn_output.weight", shape.d_model, query_rows)
    norm(f"{prefix}.ffn_norm.weight", shape.d_model)
    matrix(f"{prefix}.ffn_gate.weight", shape.d_ff, shape.d_model)
    matrix(f"{prefix}.ffn_up.weight", shape.d_ff, shape.d_model)
    matrix(f"{prefix}.ffn_down.weight", shape.d_model, shape.d_ff)
    if shape.architecture == "gemma3":
        norm(f"{prefix}.attn_q_norm.weight", shape.head_dim)
        norm(f"{prefix}.attn_k_norm.weight", shape.head_dim)
        norm(f"{prefix}.post_attention_norm.weight", shape.d_model, gain=2.0)
        norm(f"{prefix}.post_ffw_norm.weight", shape.d_model, gain=2.0)
