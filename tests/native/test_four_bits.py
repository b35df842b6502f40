"""Keys and values in four bits: what the rotation is for, what can go wrong in it, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pennyweight.native import _native, reference_exact, reference_four_bits
from pennyweight.native.reference import ReferenceDecoder
from tests.native import tiny_decoders
from tests.native.native_decoders import PAGE, Driver, native_model
from tests.native.tiny_decoders import random_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.native.reference_blocks import Floats

TINY = tiny_decoders.gemma3(("Q4_1", "Q8_0", "Q5_0"), kv_format="int4")
TOKENS = random_tokens(TINY.spec, 100)
F32 = np.float32


@cache
def compiled() -> np.ndarray:
    return Driver(TINY).score(TOKENS)


def agrees() -> bool:
    theirs = ReferenceDecoder(TINY.spec, TINY.tensors()).logits(TOKENS)
    limit = 1e-5 * np.abs(theirs).max(axis=-1, keepdims=True)
    return bool((np.abs(compiled() - theirs) <= limit).all())


def test_the_truth_agrees() -> None:
    assert agrees()


def _half_runs(x: Floats) -> Floats:
    halves = reference_four_bits.hadamard(x.reshape(*x.shape[:-1], 2, -1))
    return np.asarray(halves.reshape(x.shape))


RIGHT = reference_exact.quantise_4


def _scaled(x: Floats) -> reference_exact.Quantised:
    right = RIGHT(x)
    return replace(right, scale=right.scale * F32(1.004))


def _coarser(x: Floats) -> reference_exact.Quantised:
    right = RIGHT(x)
    return replace(right, values=np.where(right.values == 32, F32(46), right.values))


def _largest_kept(x: Floats) -> reference_exact.Quantised:
    """The scale at which the largest value is met, in place of that of the least error."""
    right = RIGHT(x)
    return replace(right, scale=reference_four_bits.bfloat16(np.abs(x).max(axis=-1) / F32(127)))


LIES: dict[str, tuple[str, Callable[..., object]]] = {
    "no rotation": ("hadamard", lambda x: x),
    "a rotation of half heads": ("hadamard", _half_runs),
    "a scale a little too large": ("quantise_4", _scaled),
    "the level of the next code": ("quantise_4", _coarser),
    "the scale of the largest": ("quantise_4", _largest_kept),
    "a scale of 32 bits": ("bfloat16", lambda x: x),
    "values that round to the side": (
        "nearest_levels",
        lambda y: reference_four_bits.nearest_levels(y * F32(1.02)),
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_parts_them(lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_exact, *LIES[lie])
    assert not agrees()


@pytest.mark.parametrize(("head_dim", "run"), [(64, 64), (80, 16), (96, 32), (128, 128), (112, 16)])
def test_the_rotation_is_hadamards(head_dim: int, run: int) -> None:
    matrix = np.ones((1, 1))
    while len(matrix) < run:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    x = np.random.default_rng(0).standard_normal((5, head_dim)).astype(F32)
    expected = (x.reshape(5, -1, run) @ matrix.T / np.sqrt(run)).reshape(x.shape)
    np.testing.assert_allclose(reference_four_bits.hadamard(x), expected, rtol=0, atol=1e-6)
    back = reference_four_bits.hadamard(reference_four_bits.hadamard(x))
    np.testing.assert_allclose(back, x, rtol=0, atol=1e-6)


def test_what_stands_out_is_spread() -> None:
    """A few large elements of keys cost the others their precision, unless heads are rotated."""

    def error(x: Floats) -> float:
        groups = x.reshape(-1, 32)
        got = RIGHT(groups)
        return float(np.square(got.values * got.scale[:, None] - groups).mean())

    keys = np.random.default_rng(1).standard_normal((200, 64)).astype(F32)
    keys[:, 5] *= 30
    assert error(reference_four_bits.hadamard(keys)) < 0.25 * error(keys)


def test_levels_are_the_nearest() -> None:
    y = np.linspace(-127, 127, 4001, dtype=F32)
    distance = np.abs(y[:, None] - reference_four_bits.LEVELS)
    np.testing.assert_array_equal(np.abs(y - reference_four_bits.nearest_levels(y)), distance.min(axis=-1))
    assert RIGHT(np.zeros((1, 32), F32)).scale == 0


def test_pages_take_half() -> None:
    model = native_model(TINY)
    int8, int4 = (
        _native.Decoder(model, num_pages=1, kv_format=format).page_bytes for format in ("int8", "int4")
    )
    assert (int4, int8) == (PAGE * TINY.spec.kv_bytes_per_token, 2 * int4)


def test_what_cannot_be_kept_so_is_refused() -> None:
    odd = native_model(tiny_decoders.llama(("F32",), head_dim=24))
    with pytest.raises(
        ValueError, match="int4 keys and values need heads of a multiple of 16 elements, got 24"
    ):
        _native.Decoder(odd, num_pages=1, kv_format="int4")
    with pytest.raises(ValueError, match="kv_format is fp8; it is int8 or int4"):
        _native.Decoder(odd, num_pages=1, kv_format="fp8")
