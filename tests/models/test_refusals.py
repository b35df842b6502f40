"""What a model file says beyond what this engine computes is refused by name, never ignored."""

from __future__ import annotations

from typing import Any

import pytest

from pennyweight.errors import ModelFileError
from pennyweight.models.architectures import ARCHITECTURES, architecture_of
from pennyweight.models.gguf_header import TensorInfo
from tests.models.described import Table, describe, plain, roles_of, table
from tests.models.tiny import TinyShape, gemma_shape, llama_shape


@pytest.mark.parametrize("architecture", [llama_shape(), gemma_shape()], ids=lambda shape: shape.architecture)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rope.scaling.type", "dynamic"),
        ("rope.scaling.attn_factor", 1.5),
        ("rope.scaling.factor", 1e-40),
        ("rope.scaling.type", ["linear"] * 1000),
        ("rope.freq_base", float("nan")),
        ("expert_used_count", 2),
        ("attention.causal", False),
        ("attention.clamp_kqv", 8.0),
        ("attention.value_length", 48),
        ("attention.head_count", 0),
        ("attention.head_count", [4, 4]),
        ("attention.head_count_kv", 3),
        ("attention.key_length", 2**40),
        ("attention.key_length", 512),
        ("attention.layer_norm_rms_epsilon", 0.0),
        ("attention.layer_norm_rms_epsilon", None),
        ("attention.layer_norm_rms_epsilon", "tiny"),
        ("block_count", 2**60),
        ("block_count", True),
        ("context_length", None),
        ("context_length", -1),
        ("logit_scale", 0.5),
        ("pooling_type", 1),
        ("vocab_size", 5),
        ("a_key_of_tomorrow", "x"),
    ],
)
def test_what_would_change_the_result_is_refused_by_name(
    architecture: TinyShape, key: str, value: Any
) -> None:
    with pytest.raises(ModelFileError, match=rf"{architecture.architecture}\.{key}"):
        describe(architecture, {key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attn_logit_softcapping", 50.0),
        ("final_logit_softcapping", 30.0),
        ("attention.sliding_window", None),
        ("attention.sliding_window_pattern", 0),
        ("attention.sliding_window_pattern", [True]),
        ("attention.sliding_window_pattern", "every sixth"),
        ("rope.dimension_count", 16),
    ],
)
def test_gemma3_refuses_what_it_does_not_compute(key: str, value: Any) -> None:
    with pytest.raises(ModelFileError, match=key):
        describe(gemma_shape(), {key: value})


@pytest.mark.parametrize("value", [0, 3, 18])
def test_llama_refuses_impossible_rotary_sizes(value: int) -> None:
    with pytest.raises(ModelFileError, match=r"rope\.dimension_count"):
        describe(llama_shape(), {"rope.dimension_count": value})


@pytest.mark.parametrize("name", ["gpt2", None, 7, "llama4", ["llama"]])
def test_an_unsupported_architecture_is_named(name: Any) -> None:
    with pytest.raises(ModelFileError, match=r"is not supported.*; this engine runs llama, qwen2, qwen3"):
        architecture_of({"general.architecture": name})


def test_a_vocabulary_without_weights_is_not_a_model() -> None:
    metadata = plain(llama_shape())
    with pytest.raises(ModelFileError, match="it is a vocabulary, not a model"):
        architecture_of(metadata).describe(Table(metadata, {}), None)


@pytest.mark.parametrize(
    "name",
    ["blk.0.attn_k.bias", "blk.0.attn_output.bias", "blk.1.ffn_gate_inp.weight", "blk.2.attn_q.weight"],
)
def test_a_tensor_without_a_part_is_refused_by_name(name: str) -> None:
    extra = TensorInfo(name=name, type="F32", shape=(8,), nbytes=32, file=0, offset=0)
    with pytest.raises(ModelFileError, match=f"tensor '{name}' has no part"):
        roles_of(llama_shape(), table(llama_shape()) | {name: extra})


def test_head_sizes_are_even() -> None:
    with pytest.raises(ModelFileError, match=r"attention\.key_length is 23; expected an even number"):
        describe(llama_shape(), {"attention.key_length": 23, "attention.value_length": 23})


def test_a_head_count_without_tensors_is_refused_before_anything_is_made_of_it() -> None:
    """A row map of this size would take gigabytes."""
    metadata = plain(llama_shape()) | {
        "llama.attention.head_count": 2**24,
        "llama.attention.head_count_kv": 2**24,
    }
    spec = architecture_of(metadata).describe(Table(metadata, table(llama_shape())), None)
    with pytest.raises(ModelFileError, match=r"'blk\.0\.attn_q\.weight' has the shape"):
        ARCHITECTURES["llama"].roles(spec, Table(metadata, table(llama_shape())))


def test_missing_misshapen_and_mistyped_tensors_are_refused() -> None:
    tensors = table(llama_shape())
    without = {name: tensor for name, tensor in tensors.items() if name != "blk.1.ffn_up.weight"}
    with pytest.raises(ModelFileError, match=r"'blk.1.ffn_up.weight' is missing"):
        roles_of(llama_shape(), without)
    for name, shape, kind in (
        ("blk.0.attn_k.weight", (64, 32), "Q4_0"),
        ("blk.0.attn_norm.weight", (1, 64), "F32"),
        ("output_norm.weight", (64,), "F16"),
    ):
        wrong = TensorInfo(name=name, type=kind, shape=shape, nbytes=0, file=0, offset=0)
        with pytest.raises(ModelFileError, match=f"'{name}' has the (shape|type)"):
            roles_of(llama_shape(), tensors | {name: wrong})
