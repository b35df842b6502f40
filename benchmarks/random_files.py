"""GGUF files of real models' shapes with random weights: speed does not depend on what a model knows.

Scales are chosen so that weights are about as large as trained ones and states stay finite. The types of
`Q4_K_M` are chosen as llama.cpp's quantiser does: values and the feed-forward's way down are Q6_K in every
third layer and in the first and last eighth, the embedding (also the head) is Q6_K, and rows that are no
multiple of 256 take Q5_0 and Q8_0 instead.
"""

from __future__ import annotations

import random
import struct
from array import array
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any, Final, Literal

from pennyweight.models.block_types import block_type
from pennyweight.models.gguf_writer import NewTensor, encode_value, write_gguf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Quantisation = Literal["Q4_0", "Q8_0", "Q4_K_M"]
QUANTISATIONS: Final[tuple[Quantisation, ...]] = ("Q4_0", "Q4_K_M", "Q8_0")

_POOL_BLOCKS = 2**16  # random blocks of a type, used again and again


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A published model's dimensions; its embedding is its head."""

    name: str
    architecture: Literal["llama", "qwen2"]
    layers: int
    d_model: int
    heads: int
    kv_heads: int
    head_dim: int
    d_ff: int
    vocab: int
    rope_base: float


SHAPES: Final = (
    Shape(
        name="Qwen2.5-0.5B",
        architecture="qwen2",
        layers=24,
        d_model=896,
        heads=14,
        kv_heads=2,
        head_dim=64,
        d_ff=4864,
        vocab=151_936,
        rope_base=1e6,
    ),
    Shape(
        name="Llama-3.2-1B",
        architecture="llama",
        layers=16,
        d_model=2048,
        heads=32,
        kv_heads=8,
        head_dim=64,
        d_ff=8192,
        vocab=128_256,
        rope_base=5e5,
    ),
    Shape(
        name="Qwen2.5-3B",
        architecture="qwen2",
        layers=36,
        d_model=2048,
        heads=16,
        kv_heads=2,
        head_dim=128,
        d_ff=11_008,
        vocab=151_936,
        rope_base=1e6,
    ),
)


def random_file(folder: Path, shape: Shape, quantisation: Quantisation) -> Path:
    """The file, made at the first call."""
    path = folder / f"{shape.name}-random.{quantisation}.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            write_gguf(
                file, metadata=_metadata(shape), tensors=list(_tensors(shape, quantisation)), data=_content
            )
        part.rename(path)
    return path


def _metadata(shape: Shape) -> dict[str, bytes]:
    own: dict[str, Any] = {
        "block_count": shape.layers,
        "context_length": 32_768,
        "embedding_length": shape.d_model,
        "feed_forward_length": shape.d_ff,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": shape.rope_base,
        "rope.dimension_count": shape.head_dim,
    }
    values: dict[str, Any] = {
        "general.architecture": shape.architecture,
        "general.name": f"{shape.name} shape, random weights",
        **{f"{shape.architecture}.{key}": value for key, value in own.items()},
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": _vocabulary(shape.vocab),
        "tokenizer.ggml.token_type": array("i", [1] * shape.vocab),
        "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.eos_token_id": shape.vocab - 1,
        "tokenizer.ggml.bos_token_id": shape.vocab - 1,
    }
    if shape.architecture == "qwen2":
        del values["qwen2.rope.dimension_count"]
    return {key: encode_value(value) for key, value in values.items()}


def _vocabulary(size: int) -> list[str]:
    """The 256 letters byte-level vocabularies write bytes with, then made-up words."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    letters = [chr(byte if byte in plain else next(others)) for byte in range(256)]
    return [*letters, "ab", *(f"w{number}" for number in range(size - 257))]


def _tensors(shape: Shape, quantisation: Quantisation) -> Iterator[NewTensor]:
    d, q, kv = shape.d_model, shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim

    def matrix(name: str, rows: int, columns: int, *, better: bool = False) -> NewTensor:
        return NewTensor(name=name, type=_type(quantisation, columns, better), shape=(rows, columns))

    def vector(name: str, size: int) -> NewTensor:
        return NewTensor(name=name, type="F32", shape=(size,))

    yield matrix("token_embd.weight", shape.vocab, d, better=True)
    yield vector("output_norm.weight", d)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        better = layer < shape.layers // 8 or layer >= 7 * shape.layers // 8 or layer % 3 == 2
        yield vector(f"{block}attn_norm.weight", d)
        yield matrix(f"{block}attn_q.weight", q, d)
        yield matrix(f"{block}attn_k.weight", kv, d)
        yield matrix(f"{block}attn_v.weight", kv, d, better=better)
        yield matrix(f"{block}attn_output.weight", d, q)
        if shape.architecture == "qwen2":
            for part, size in (("q", q), ("k", kv), ("v", kv)):
                yield vector(f"{block}attn_{part}.bias", size)
        yield vector(f"{block}ffn_norm.weight", d)
        yield matrix(f"{block}ffn_gate.weight", shape.d_ff, d)
        yield matrix(f"{block}ffn_up.weight", shape.d_ff, d)
        yield matrix(f"{block}ffn_down.weight", d, shape.d_ff, better=better)


def _type(quantisation: Quantisation, columns: int, better: bool) -> str:
    if quantisation != "Q4_K_M":
        return quantisation
    if columns % 256:
        return "Q8_0" if better else "Q5_0"
    return "Q6_K" if better else "Q4_K"


def _content(tensor: NewTensor) -> Iterator[bytes]:
    if tensor.type == "F32":
        value = 1.0 if tensor.name.endswith("norm.weight") else 0.01
        yield struct.pack("<f", value) * prod(tensor.shape)
        return
    pool = _pool(tensor.type)
    left = tensor.nbytes
    while left:
        yield pool[:left]
        left -= min(left, len(pool))


@cache
def _pool(type_name: str) -> bytes:
    """Random blocks whose weights deviate by about 0.02."""
    draw = random.Random(3)
    size = block_type(type_name).bytes

    def half(value: float) -> bytes:
        return struct.pack("<e", value)

    def block() -> bytes:
        if type_name == "Q6_K":  # the scale stands last; sub-scales are signed bytes
            return draw.randbytes(size - 2) + half(1.5e-5)
        if type_name == "Q4_K":
            return half(1.3e-4) + half(1e-3) + draw.randbytes(size - 4)
        return half({"Q4_0": 0.004, "Q5_0": 0.002, "Q8_0": 0.0003}[type_name]) + draw.randbytes(size - 2)

    return b"".join(block() for _ in range(_POOL_BLOCKS))
