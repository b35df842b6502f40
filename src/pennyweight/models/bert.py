"""The `bert` architecture: a text encoder with learned positions and post-norm layers (Devlin et al. 2019).

MiniLM, BGE, E5 and GTE (small, base, large) carry this name. Two kinds of file hold it: GGUF (this module
reads its metadata) and a folder with safetensors (`bert_folder`); `EncoderSpec` and the roles are the same.
Source: https://arxiv.org/abs/1810.04805
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pennyweight.errors import ModelFileError
from pennyweight.models.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "bert"
FLOAT_TYPES = ("F32", "F16", "BF16")
_BLOCK = 32  # columns that share a scale
_HEAD_MULTIPLE = 16  # heads are worked on 16 lanes at a time
_MAX_WINDOW = 1 << 16


class Stored(Protocol):
    """What both kinds of file say of a tensor."""

    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSpec:
    """Shapes and constants. `window`: tokens of the longest text, the two around it included."""

    architecture: str
    vocab_size: int
    d_model: int
    num_heads: int
    d_ff: int
    num_layers: int
    num_positions: int
    num_token_types: int
    window: int
    norm_eps: float
    pooling: Literal["mean", "first"]

    def check(self) -> None:
        """ModelFileError for sizes the engine's encoder does not take."""
        head_dim = self.d_model // self.num_heads
        for name, value, multiple in (
            ("model width", self.d_model, self.num_heads),
            ("model width", self.d_model, _BLOCK),
            ("feed-forward width", self.d_ff, _BLOCK),
            ("head size", head_dim, _HEAD_MULTIPLE),
        ):
            if value % multiple:
                raise ModelFileError(f"the {name} is {value}; expected a multiple of {multiple}")
        if not 3 <= self.window <= min(self.num_positions, _MAX_WINDOW):
            raise ModelFileError(
                f"the longest text is {self.window} tokens; expected 3 to {self.num_positions} positions"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderNames:
    """Where a kind of file keeps what, without `.weight` and `.bias`; `layer` has `{}` for the index."""

    embedding: str
    positions: str
    token_types: str
    embedding_norm: str
    layer: str
    query: str
    key: str
    value: str
    output: str
    attention_norm: str
    up: str
    down: str
    output_norm: str
    unused: tuple[str, ...] = ()  # tensors that no vector depends on


GGUF_NAMES = EncoderNames(
    embedding="token_embd",
    positions="position_embd",
    token_types="token_types",
    embedding_norm="token_embd_norm",
    layer="blk.{}.",
    query="attn_q",
    key="attn_k",
    value="attn_v",
    output="attn_output",
    attention_norm="attn_output_norm",
    up="ffn_up",
    down="ffn_down",
    output_norm="layer_output_norm",
)

_POOLINGS: dict[int, Literal["mean", "first"]] = {1: "mean", 2: "first"}


def describe(metadata: Mapping[str, Any], tensors: Mapping[str, Stored]) -> EncoderSpec:
    """The encoder of a GGUF file; ModelFileError names what it cannot be."""
    keys = Hyperparameters(metadata, architecture=NAME)
    num_heads = keys.integer("attention.head_count")
    pooling = keys.integer("pooling_type", default=1, low=0)
    if pooling not in _POOLINGS:
        raise keys.fail("pooling_type", pooling, "1 (mean) or 2 (first token)")
    vocab_size = _rows(tensors, "token_embd.weight")
    num_positions = _rows(tensors, "position_embd.weight")
    spec = EncoderSpec(
        architecture=NAME,
        vocab_size=vocab_size,
        d_model=keys.integer("embedding_length"),
        num_heads=num_heads,
        d_ff=keys.integer("feed_forward_length"),
        num_layers=keys.integer("block_count", high=max(len(tensors), 1)),
        num_positions=num_positions,
        num_token_types=_rows(tensors, "token_types.weight"),
        window=min(keys.integer("context_length"), num_positions),
        norm_eps=keys.number("attention.layer_norm_epsilon", low=1e-15, high=1.0),
        pooling=_POOLINGS[pooling],
    )
    keys.only("attention.causal", False)
    keys.only("attention.head_count_kv", num_heads)
    keys.only("vocab_size", vocab_size)
    keys.finish()
    spec.check()
    return spec


def _rows(tensors: Mapping[str, Stored], name: str) -> int:
    tensor = tensors.get(name)
    if tensor is None or len(tensor.shape) != 2:
        raise ModelFileError(f"the file has no matrix {name!r}; it is not a complete encoder")
    return tensor.shape[0]


def check_tensors(spec: EncoderSpec, names: EncoderNames, tensors: Mapping[str, Stored]) -> None:
    """Every tensor is there with its shape, and none is left over: one left out would change every vector."""
    expected = dict(_shapes(spec, names))
    for name, shape in expected.items():
        tensor = tensors.get(name)
        if tensor is None:
            raise ModelFileError(f"the tensor {name!r} is missing; the file is not a complete encoder")
        if tensor.shape != shape:
            raise ModelFileError(f"tensor {name!r} has the shape {tensor.shape}; expected {shape}")
        if len(shape) == 1 and tensor.type not in FLOAT_TYPES:
            raise ModelFileError(
                f"tensor {name!r} has the type {tensor.type}; a vector is {', '.join(FLOAT_TYPES)}"
            )
    for name in tensors:
        if name not in expected and name not in names.unused:
            raise ModelFileError(
                f"tensor {name!r} has no part in this engine's encoder; use another model file"
            )


def _shapes(spec: EncoderSpec, names: EncoderNames) -> list[tuple[str, tuple[int, ...]]]:
    d_model, d_ff = spec.d_model, spec.d_ff
    shapes: list[tuple[str, tuple[int, ...]]] = [
        (f"{names.embedding}.weight", (spec.vocab_size, d_model)),
        (f"{names.positions}.weight", (spec.num_positions, d_model)),
        (f"{names.token_types}.weight", (spec.num_token_types, d_model)),
        (f"{names.embedding_norm}.weight", (d_model,)),
        (f"{names.embedding_norm}.bias", (d_model,)),
    ]
    for index in range(spec.num_layers):
        layer = names.layer.format(index)
        for part, rows, columns in (
            (names.query, d_model, d_model),
            (names.key, d_model, d_model),
            (names.value, d_model, d_model),
            (names.output, d_model, d_model),
            (names.up, d_ff, d_model),
            (names.down, d_model, d_ff),
        ):
            shapes += [(f"{layer}{part}.weight", (rows, columns)), (f"{layer}{part}.bias", (rows,))]
        for part in (names.attention_norm, names.output_norm):
            shapes += [(f"{layer}{part}.weight", (d_model,)), (f"{layer}{part}.bias", (d_model,))]
    return shapes
