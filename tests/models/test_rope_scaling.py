"""What keys and tensors say of rotations beyond the positions of training."""

from __future__ import annotations

import struct
from math import log, sqrt
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.models.architectures import ARCHITECTURES
from pennyweight.models.gguf_header import TensorInfo
from pennyweight.models.role_finder import rotary_row_map
from pennyweight.models.rope import float32, rope_spec
from tests.models.described import Table, plain, table
from tests.models.tiny import llama_shape

if TYPE_CHECKING:
    from pennyweight.models.spec import RopeSpec

SCALING = "llama.rope.scaling."
PAIRS = 8  # of the tiny llama


def rope_of(
    keys: dict[str, Any], *, context: int | None = None, vectors: dict[str, list[float]] | None = None
) -> RopeSpec:
    """The rotation of a tiny llama with these keys of scaling, and these tensors."""
    shape = llama_shape(context_length=512)
    vectors = vectors or {}
    infos = {
        name: TensorInfo(name=name, type="F32", shape=(len(values),), nbytes=0, file=0, offset=0)
        for name, values in vectors.items()
    }
    source = Table(
        plain(shape) | {SCALING + key: value for key, value in keys.items()},
        table(shape) | infos,
        {name: struct.pack(f"<{len(values)}f", *values) for name, values in vectors.items()},
    )
    return ARCHITECTURES["llama"].describe(source, context).ropes[0]


@pytest.mark.parametrize(
    ("keys", "magnitude"),
    [
        ({}, 0.1 * log(8) + 1),
        ({"yarn_log_multiplier": 1.0}, 1.0),
        ({"yarn_log_multiplier": 0.5}, (0.1 * log(8) + 1) / (0.05 * log(8) + 1)),
        ({"yarn_attn_factor": 1.25}, 1.25),
        ({"yarn_attn_factor": 1.0, "yarn_ext_factor": 1.0}, 1.0),
    ],
)
def test_yarns_magnitude_is_stated_or_follows(keys: dict[str, Any], magnitude: float) -> None:
    rope = rope_of({"type": "yarn", "factor": 8.0, "original_context_length": 64, **keys})
    assert rope.magnitude == pytest.approx(magnitude)


def test_yarn_leaves_fast_pairs_and_stretches_slow_ones() -> None:
    plain_rope = rope_spec(base=10_000.0, head_dim=16, rotary_dim=16).inverse_frequencies
    keys = {"type": "yarn", "factor": 8.0, "original_context_length": 64, "yarn_beta_fast": 4.0}
    scaled = rope_of(keys).inverse_frequencies
    assert scaled[0] == plain_rope[0]
    assert scaled[-1] == pytest.approx(plain_rope[-1] / 8, rel=1e-6)
    ratios = [ours / theirs for ours, theirs in zip(scaled, plain_rope, strict=True)]
    assert ratios == sorted(ratios, reverse=True)


LONG = {"rope_factors_long.weight": [4.0] * PAIRS, "rope_factors_short.weight": [2.0] * PAIRS}


@pytest.mark.parametrize(("context", "divisor"), [(None, 4.0), (65, 4.0), (64, 2.0), (1, 2.0)])
def test_longrope_follows_the_context_that_is_opened(context: int | None, divisor: float) -> None:
    rope = rope_of({"original_context_length": 64}, context=context, vectors=LONG)
    assert rope.inverse_frequencies[0] == 1.0 / divisor
    assert rope.magnitude == pytest.approx(sqrt(1 + log(8) / log(64)))


def test_longrope_without_an_original_context_is_short() -> None:
    rope = rope_of({"type": "longrope"}, vectors=LONG)
    assert (rope.inverse_frequencies[0], rope.magnitude) == (0.5, 1.0)
    stated = rope_of({"type": "longrope", "attn_factor": 1.19}, vectors=LONG)
    assert stated.magnitude == 1.19


def test_divisors_slow_each_pair_by_its_own() -> None:
    divisors = [float(index + 1) for index in range(PAIRS)]
    rope = rope_of({}, vectors={"rope_freqs.weight": divisors})
    expected = rope_spec(base=10_000.0, head_dim=16, rotary_dim=16).inverse_frequencies
    assert rope.inverse_frequencies == pytest.approx(
        [float32(value / divisor) for value, divisor in zip(expected, divisors, strict=True)], rel=1e-6
    )


def test_halves_that_turn_in_part_are_brought_together() -> None:
    """Of a head of 8 the first 4 rows turn, `i` with `i + 2`; the decoder turns `i` with `i + 4`."""
    assert rotary_row_map(2, 8, 4, "halves") == (0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15)
    assert rotary_row_map(2, 8, 8, "halves") is None
