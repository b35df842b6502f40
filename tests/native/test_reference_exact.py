"""The building blocks of docs/numerics.md against slower definitions of the same."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pennyweight.native import reference_exact, reference_float32
from pennyweight.native.reference import ReferenceDecoder
from pennyweight.native.reference_blocks import dequantise
from tests.native import tiny_decoders
from tests.native.agreement import divergence, same_top
from tests.native.random_blocks import TYPES, random_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

F32 = np.float32
floats = st.floats(-1e6, 1e6, width=32).filter(lambda x: x == 0 or abs(x) > 1e-6)


def _rounded(exact: Fraction) -> np.float32:
    """Nearest float32, ties to even, by exact arithmetic."""
    near = F32(float(exact))
    around = [np.nextafter(near, F32(-np.inf)), near, np.nextafter(near, F32(np.inf))]
    return min(around, key=lambda x: (abs(Fraction(float(x)) - exact), int(x.view(np.int32)) & 1))


@given(floats, floats, floats)
@settings(max_examples=300, deadline=None)
def test_fma_rounds_once(a: float, b: float, c: float) -> None:
    (ours,) = reference_exact.fma(np.array([a], F32), np.array([b], F32), np.array([c], F32))
    assert ours == _rounded(Fraction(a) * Fraction(b) + Fraction(c))


@pytest.mark.parametrize("sign", [1, -1])
def test_fma_where_two_roundings_would_differ(sign: int) -> None:
    # c ends in an odd last bit plus a half of it, and the product lies just below that half.
    c, a, b = F32(1 + 2**-23), F32(2**-24), F32(sign * (1 - 2**-24))
    (ours,) = reference_exact.fma(np.array([a]), np.array([b]), np.array([c]))
    assert ours == _rounded(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)))
    tiny = F32(2**-24) * F32(1 + 2**-23)
    (above,) = reference_exact.fma(np.array([tiny]), np.array([F32(1 + 2**-23)]), np.array([F32(1)]))
    assert above == F32(1 + 2**-23)


def test_tree_adds_in_its_order() -> None:
    lanes = np.zeros(16, F32)
    lanes[[0, 8, 4]] = [1, 2**24, -(2**24)]
    # (1 + 2^24) loses the 1 before the other half arrives.
    assert reference_exact.tree(lanes) == 0


def test_exp2_is_close_and_clamped() -> None:
    t = np.linspace(-126, 126, 20001, dtype=F32)
    np.testing.assert_allclose(reference_exact.exp2(t), np.exp2(t.astype(np.float64)), rtol=3e-7)
    ends = reference_exact.exp2(np.array([-np.inf, -1000, 0, 1000], F32))
    assert ends.tolist() == [2.0**-126, 2.0**-126, 1.0, 2.0**126]


def test_quantise_of_zeros_and_extremes() -> None:
    quantised = reference_exact.quantise(np.array([[0, 0], [-254, 127], [1, 1e-30]], F32))
    assert quantised.values.tolist() == [[0, 0], [-127, 64], [127, 0]]
    assert quantised.scale.tolist() == [0, 2, F32(1) / F32(127)]
    assert quantised.sums.tolist() == [0, -63, 127]


@pytest.mark.parametrize("type", TYPES)
def test_linear_is_the_product(type: str) -> None:
    rng = np.random.default_rng(5)
    weights = random_blocks(rng, type, 50, 256).weights()
    x = rng.standard_normal((3, 256)).astype(F32)
    quantised = reference_exact.quantise(x.reshape(3, 8, 32))
    seen = x if weights.d_RG is None else (quantised.values * quantised.scale[..., None]).reshape(3, 256)
    expected = seen.astype(np.float64) @ dequantise(weights).T.astype(np.float64)
    np.testing.assert_allclose(reference_exact.linear(x, weights), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("window", [None, 1, 64, 100])
def test_attention_is_near_plain_attention(window: int | None) -> None:
    rng = np.random.default_rng(6)
    q, k, v = (rng.standard_normal((600, heads, 32)).astype(F32) for heads in (4, 2, 2))
    ours = reference_exact.attend(q, k, v, scale=0.3, window=window)
    plain = reference_float32.attend(q, k, v, scale=0.3, window=window)
    assert np.abs(ours - plain).max() < 0.05
    assert np.sqrt(np.square(ours - plain).mean() / np.square(plain).mean()) < 0.02


@pytest.mark.parametrize("activation", ["silu", "gelu_tanh"])
def test_gates_agree(activation: str) -> None:
    g = np.linspace(-100, 100, 4001, dtype=F32)
    ours, plain = (
        module.gate(activation, g, np.full_like(g, 1.5)) for module in (reference_exact, reference_float32)
    )
    np.testing.assert_allclose(ours, plain, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("make", [tiny_decoders.llama, tiny_decoders.gemma3])
def test_exact_is_near_float32(make: Callable[..., tiny_decoders.TinyDecoder]) -> None:
    tiny = make(("Q4_1",))
    tokens = tiny_decoders.random_tokens(tiny.spec, 100)
    exact = ReferenceDecoder(tiny.spec, tiny.tensors()).logits(tokens)
    plain = ReferenceDecoder(tiny.spec, tiny.tensors(), mode="float32").logits(tokens)
    assert divergence(plain, exact) < 0.002
    assert same_top(plain, exact) > 0.9


def test_a_prefix_does_not_feel_what_follows() -> None:
    tiny = tiny_decoders.gemma3(("Q8_0",))
    tokens = tiny_decoders.random_tokens(tiny.spec, 280)
    decoder = ReferenceDecoder(tiny.spec, tiny.tensors())
    np.testing.assert_array_equal(decoder.logits(tokens)[:131], decoder.logits(tokens[:131]))
