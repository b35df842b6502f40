"""From metadata and tensor table to a decoder."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pennyweight.models.role_finder import rotary_row_map
from pennyweight.models.rope import float32, rope_spec
from pennyweight.models.spec import LayerSpec, ModelSpec
from tests.models.described import describe, roles_of
from tests.models.tiny import gemma_shape, llama_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray


def test_llama_is_described() -> None:
    spec = describe(llama_shape(num_layers=3, context_length=777))
    assert (spec.d_model, spec.d_ff, spec.num_heads, spec.num_kv_heads, spec.head_dim) == (64, 96, 4, 2, 16)
    assert (spec.context_length, spec.vocab_size, spec.activation) == (777, 265, "silu")
    assert spec.layers == (LayerSpec(),) * 3
    assert spec.ropes == (rope_spec(base=10_000.0, head_dim=16, rotary_dim=16),)
    assert (spec.attention_scale, spec.embedding_scale) == (0.25, 1.0)
    assert (spec.qk_norm, spec.post_norms) == ("none", False)


def test_missing_llama_keys_have_the_formats_defaults() -> None:
    keys = ("attention.key_length", "attention.value_length", "rope.freq_base", "rope.dimension_count")
    assert describe(llama_shape(), dict.fromkeys(keys)) == describe(llama_shape())
    many = llama_shape(num_kv_heads=4)
    assert describe(many, {"attention.head_count_kv": None}).num_kv_heads == 4


def test_gemma3_is_described() -> None:
    spec = describe(gemma_shape(num_layers=13, window=9))
    assert (spec.activation, spec.qk_norm, spec.post_norms) == ("gelu_tanh", "head", True)
    assert (spec.embedding_scale, spec.attention_scale) == (8.0, 1 / sqrt(32))
    windows = [layer.window for layer in spec.layers]
    assert [index for index, window in enumerate(windows) if window is None] == [5, 11]
    assert windows[0] == windows[12] == 9
    local, everywhere = (spec.ropes[spec.layers[index].rope or 0] for index in (0, 5))
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
    row_map = rotary_row_map(4, 16, 16, "interleaved")
    assert row_map is not None
    assert (stored[list(row_map)] == original).all()


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
