"""From metadata and tensor table to a decoder: what is understood, and that nothing else passes."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pennyweight.errors import ModelFileError
from pennyweight.models.architectures import ARCHITECTURES, architecture_of
from pennyweight.models.gguf_header import TensorInfo
from pennyweight.models.roles import DecoderRoles, interleaved_row_map
from pennyweight.models.rope import float32, rope_spec
from pennyweight.models.spec import LayerSpec, ModelSpec
from tests.models.tiny import TinyShape, gemma_shape, llama_shape, tiny_metadata, tiny_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def plain(shape: TinyShape) -> dict[str, Any]:
    """Metadata as a reader gives it: without the writer's type annotations."""
    return {key: getattr(value, "value", value) for key, value in tiny_metadata(shape).items()}


def table(shape: TinyShape) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(
            name=name, type=tensor.type, shape=tensor.shape, nbytes=len(tensor.data), file=0, offset=0
        )
        for name, tensor in tiny_tensors(shape).items()
    }


def describe(shape: TinyShape, changes: Mapping[str, Any] | None = None) -> ModelSpec:
    """The spec of a tiny model with keys changed, or dropped if None, the architecture's prefix left out."""
    metadata = plain(shape)
    for key, value in (changes or {}).items():
        full = f"{shape.architecture}.{key}"
        metadata.pop(full, None)
        if value is not None:
            metadata[full] = value
    return architecture_of(metadata).describe(metadata, table(shape))


def roles_of(shape: TinyShape, tensors: Mapping[str, TensorInfo] | None = None) -> DecoderRoles:
    return ARCHITECTURES[shape.architecture].roles(
        describe(shape), table(shape) if tensors is None else tensors
    )


def test_llama_is_described() -> None:
    spec = describe(llama_shape(num_layers=3, context_length=777))
    assert (spec.d_model, spec.d_ff, spec.num_heads, spec.num_kv_heads, spec.head_dim) == (64, 96, 4, 2, 16)
    assert (spec.context_length, spec.vocab_size, spec.activation) == (777, 265, "silu")
    assert spec.layers == (LayerSpec(),) * 3
    assert spec.ropes == (rope_spec(base=10_000.0, head_dim=16, rotary_dim=16),)
    assert (spec.attention_scale, spec.embedding_scale) == (0.25, 1.0)
    assert (spec.qk_norm, spec.post_norms) == (False, False)


def test_missing_llama_keys_have_the_formats_defaults() -> None:
    keys = ("attention.key_length", "attention.value_length", "rope.freq_base", "rope.dimension_count")
    assert describe(llama_shape(), dict.fromkeys(keys)) == describe(llama_shape())
    many = llama_shape(num_kv_heads=4)
    assert describe(many, {"attention.head_count_kv": None}).num_kv_heads == 4


def test_gemma3_is_described() -> None:
    spec = describe(gemma_shape(num_layers=13, window=9))
    assert (spec.activation, spec.qk_norm, spec.post_norms) == ("gelu_tanh", True, True)
    assert (spec.embedding_scale, spec.attention_scale) == (8.0, 1 / sqrt(32))
    windows = [layer.window for layer in spec.layers]
    assert [index for index, window in enumerate(windows) if window is None] == [5, 11]
    assert windows[0] == windows[12] == 9
    local, everywhere = (spec.ropes[spec.layers[index].rope] for index in (0, 5))
    assert local == rope_spec(base=10_000.0, head_dim=32, rotary_dim=32)
    assert everywhere == rope_spec(base=1_000_000.0, head_dim=32, rotary_dim=32)


def test_missing_gemma3_keys_have_the_formats_defaults() -> None:
    assert describe(gemma_shape(), {"rope.freq_base": None}) == describe(gemma_shape())


def test_gemma3_patterns_and_bases_come_from_the_file() -> None:
    shape = gemma_shape(num_layers=3)
    expected = [24, None, 24]
    for pattern in (2, [True, False, True]):
        spec = describe(shape, {"attention.sliding_window_pattern": pattern})
        assert [layer.window for layer in spec.layers] == expected
    assert describe(shape, {"rope.freq_base_swa": 500.0}).ropes[0] == rope_spec(
        base=500.0, head_dim=32, rotary_dim=32
    )


def test_gemma3_embedding_scale_is_rounded_to_float32() -> None:
    assert describe(gemma_shape(d_model=640, num_layers=1)).embedding_scale == np.sqrt(np.float32(640))


def test_gemma3_27b_scales_attention_by_the_width_per_head() -> None:
    assert describe(gemma_shape(num_layers=62)).attention_scale == 1 / sqrt(64 / 4)


@pytest.mark.parametrize("base", [10_000.0, 100_000.0, 1_000_000.0])
def test_frequencies_are_float32_step_by_step(base: float) -> None:
    exponents = np.arange(0, 64, 2, dtype=np.float32) / np.float32(64)
    powers = (np.float64(base) ** exponents.astype(np.float64)).astype(np.float32)
    expected = np.float32(1) / powers
    spec = rope_spec(base=base, head_dim=64, rotary_dim=64)
    assert spec.inverse_frequencies == tuple(float(value) for value in expected)
    stretched = rope_spec(base=base, head_dim=64, rotary_dim=64, linear_factor=3.0)
    assert stretched.inverse_frequencies == tuple(float(value) for value in expected / np.float32(3))


@pytest.mark.parametrize(
    ("changes", "factor"),
    [
        ({"rope.scaling.type": "none"}, 1.0),
        ({"rope.scaling.type": "none", "rope.scaling.factor": 4.0}, 1.0),
        ({"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}, 4.0),
        ({"rope.scaling.factor": 4.0, "rope.scaling.finetuned": True}, 4.0),
        ({"rope.scaling.factor": 0.0, "rope.scaling.original_context_length": 99}, 1.0),
    ],
)
def test_linear_scaling_is_in_the_frequencies(changes: dict[str, Any], factor: float) -> None:
    llama = describe(llama_shape(), changes)
    assert llama.ropes[0].inverse_frequencies[0] == float32(1.0 / factor)
    gemma = describe(gemma_shape(), changes)
    assert [rope.inverse_frequencies[0] for rope in gemma.ropes] == [1.0, float32(1.0 / factor)]


def rotate_interleaved(x_HD: NDArray[np.float64], position: int, angles: NDArray[np.float64]) -> Any:
    """What a file for interleaved rotation was made for: neighbours `2 i`, `2 i + 1` turn together."""
    out = x_HD.copy()
    for index, angle in enumerate(angles * position):
        a, b = x_HD[:, 2 * index], x_HD[:, 2 * index + 1]
        out[:, 2 * index] = a * np.cos(angle) - b * np.sin(angle)
        out[:, 2 * index + 1] = a * np.sin(angle) + b * np.cos(angle)
    return out


def rotate_halves(x_HD: NDArray[np.float64], position: int, spec: ModelSpec) -> Any:
    """What the decoder does: `i` and `i + half` turn together."""
    half = len(spec.ropes[0].inverse_frequencies)
    angles = np.array(spec.ropes[0].inverse_frequencies) * position
    a, b = x_HD[:, :half], x_HD[:, half:]
    return np.hstack([a * np.cos(angles) - b * np.sin(angles), a * np.sin(angles) + b * np.cos(angles)])


@pytest.mark.parametrize("rotary_dim", [16, 8, 2])
def test_row_maps_turn_interleaved_rows_into_halves(rotary_dim: int) -> None:
    """Attention scores from mapped rows and our rotation equal those of the stored rows and theirs."""
    shape = llama_shape(rotary_dim=rotary_dim)
    spec, layer = describe(shape), roles_of(shape).layers[0]
    angles = 10_000.0 ** (-np.arange(0, rotary_dim, 2) / rotary_dim)
    random = np.random.default_rng(0)
    weights_q, weights_k = random.normal(size=(64, 64)), random.normal(size=(32, 64))
    x, y = random.normal(size=64), random.normal(size=64)
    theirs_q = rotate_interleaved((weights_q @ x).reshape(4, 16), 37, angles)
    theirs_k = rotate_interleaved((weights_k @ y).reshape(2, 16), 5, angles)
    ours_q = rotate_halves((weights_q[list(layer.query.row_map or ())] @ x).reshape(4, 16), 37, spec)
    ours_k = rotate_halves((weights_k[list(layer.key.row_map or ())] @ y).reshape(2, 16), 5, spec)
    for head in range(4):
        assert ours_q[head] @ ours_k[head // 2] == pytest.approx(
            theirs_q[head] @ theirs_k[head // 2], rel=1e-5
        )


def test_the_row_map_undoes_the_converters_permutation() -> None:
    """llama.cpp's converter reshapes `[heads, 2, half]` rows to `[heads, half, 2]`."""
    original = np.arange(4 * 16)
    stored = original.reshape(4, 2, 8).swapaxes(1, 2).reshape(-1)
    assert (stored[list(interleaved_row_map(4, 16))] == original).all()


def test_only_llama_queries_and_keys_have_a_row_map() -> None:
    for shape, mapped in ((llama_shape(), True), (gemma_shape(), False)):
        layer = roles_of(shape).layers[1]
        assert [m.row_map is not None for m in (layer.query, layer.key)] == [mapped] * 2
        assert [m.row_map for m in (layer.value, layer.output, layer.gate, layer.up, layer.down)] == [
            None
        ] * 5


def test_every_tensor_has_its_role() -> None:
    roles = roles_of(gemma_shape(tied=False))
    assert roles.head is not None
    assert (roles.head.tensor, roles.embedding.tensor) == ("output.weight", "token_embd.weight")
    assert roles_of(gemma_shape()).head is None
    layer = roles.layers[3]
    assert (layer.query_norm, layer.post_feed_forward_norm) == (
        "blk.3.attn_q_norm.weight",
        "blk.3.post_ffw_norm.weight",
    )
    assert roles_of(llama_shape()).layers[0].query_norm is None


@pytest.mark.parametrize("architecture", [llama_shape(), gemma_shape()], ids=lambda shape: shape.architecture)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rope.scaling.type", "yarn"),
        ("rope.scaling.attn_factor", 1.5),
        ("rope.scaling.factor", 1e-40),
        ("rope.scaling.type", ["linear"] * 1000),
        ("rope.freq_base", float("nan")),
        ("expert_count", 8),
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
        ("embedding_length", 48),
        ("feed_forward_length", 100),
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
    with pytest.raises(ModelFileError, match="not supported; this engine runs llama, gemma3"):
        architecture_of({"general.architecture": name})


def test_a_vocabulary_without_weights_is_not_a_model() -> None:
    metadata = plain(llama_shape())
    with pytest.raises(ModelFileError, match="it is a vocabulary, not a model"):
        architecture_of(metadata).describe(metadata, {})


@pytest.mark.parametrize(
    "name", ["rope_freqs.weight", "blk.0.attn_q.bias", "blk.1.ffn_gate_inp.weight", "blk.2.attn_q.weight"]
)
def test_a_tensor_without_a_part_is_refused_by_name(name: str) -> None:
    extra = TensorInfo(name=name, type="F32", shape=(8,), nbytes=32, file=0, offset=0)
    with pytest.raises(ModelFileError, match=f"tensor '{name}' has no part"):
        roles_of(llama_shape(), table(llama_shape()) | {name: extra})


def test_head_sizes_are_multiples_of_16() -> None:
    with pytest.raises(ModelFileError, match=r"attention\.key_length is 24; expected a multiple of 16"):
        describe(llama_shape(), {"attention.key_length": 24, "attention.value_length": 24})


def test_a_head_count_without_tensors_is_refused_before_anything_is_made_of_it() -> None:
    """A row map of this size would take gigabytes."""
    metadata = plain(llama_shape()) | {
        "llama.attention.head_count": 2**24,
        "llama.attention.head_count_kv": 2**24,
    }
    spec = architecture_of(metadata).describe(metadata, table(llama_shape()))
    with pytest.raises(ModelFileError, match=r"'blk\.0\.attn_q\.weight' has the shape"):
        ARCHITECTURES["llama"].roles(spec, table(llama_shape()))


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
