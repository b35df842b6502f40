"""Packed matrices and their products against the exact reference, for every type, target and odd shape."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise, product

import numpy as np
import pytest

from pennyweight.native import _native
from pennyweight.native.reference_blocks import Weights, dequantise
from pennyweight.native.reference_exact import linear
from tests.native.native_decoders import TARGETS, packed
from tests.native.random_blocks import SUPER_TYPES, TYPES, Blocks, random_blocks

F32 = np.float32
TOKENS = (1, 2, 3, 4, 5, 7, 8, 12, 13, 33)
ROWS = (16, 48, 50, 1)


def columns_of(type: str) -> tuple[int, ...]:
    return (256, 512) if type in SUPER_TYPES else (32, 64, 288)


@cache
def matrix(type: str, rows: int, columns: int) -> Blocks:
    return random_blocks(np.random.default_rng([rows, columns]), type, rows, columns)


@cache
def inputs(columns: int) -> np.ndarray:
    """33 vectors: ordinary ones, one with a spike, one partly zero, one tiny, one huge."""
    x = np.random.default_rng(columns).standard_normal((33, columns)).astype(F32)
    x[5, 3] = 300
    x[6, :32] = 0
    x[7] *= F32(1e-25)
    x[8] *= F32(1e20)
    return x


@cache
def expected(type: str, rows: int, columns: int, fine: bool = False) -> np.ndarray:
    return linear(inputs(columns), matrix(type, rows, columns).weights(), fine=fine)


def multiply(blocks: Blocks, x: np.ndarray, target: str | None = None, fine: bool = False) -> np.ndarray:
    product = packed(blocks).multiply(x, tokens=len(x), fine=fine, target=target)
    return np.frombuffer(product, F32).reshape(len(x), -1)


def agrees(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Within 1e-5 of each token's largest value."""
    limit = 1e-5 * np.abs(theirs).max(axis=-1, keepdims=True)
    return bool((np.abs(ours - theirs) <= limit).all())


@pytest.mark.parametrize("fine", [False, True], ids=["coarse", "fine"])
@pytest.mark.parametrize(("target", "type"), list(product(TARGETS, TYPES)))
def test_products_are_exact(target: str, type: str, fine: bool) -> None:
    for rows, columns in product(ROWS, columns_of(type)):
        for tokens in TOKENS:
            ours = multiply(matrix(type, rows, columns), inputs(columns)[:tokens], target, fine)
            theirs = expected(type, rows, columns, fine)[:tokens]
            np.testing.assert_array_equal(ours, theirs, err_msg=f"{tokens} tokens {rows} x {columns}")


@pytest.mark.parametrize("target", TARGETS)
def test_input_may_be_misaligned(target: str) -> None:
    x = inputs(64)[:5]
    buffer = b"." + x.tobytes()
    ours = packed(matrix("Q4_1", 48, 64)).multiply(memoryview(buffer)[1:], tokens=5, target=target)
    np.testing.assert_array_equal(np.frombuffer(ours, F32).reshape(5, 48), expected("Q4_1", 48, 64)[:5])


def wrong_scale(w: Weights) -> Weights:
    return replace(w, d_RG=_bump(w.d_RG))


def wrong_minimum(w: Weights) -> Weights:
    return replace(w, m_RG=_bump(w.m_RG))


def wrong_zero(w: Weights) -> Weights:
    return replace(w, zero=w.zero + 1)


def wrong_code(w: Weights) -> Weights:
    values = w.values.copy()
    values[17, 40] += 1
    return replace(w, values=values)


def wrong_rows(w: Weights) -> Weights:
    order = np.arange(w.rows)
    order[[16, 17]] = [17, 16]
    d, m = (None if a is None else a[order] for a in (w.d_RG, w.m_RG))
    return replace(w, values=w.values[order], d_RG=d, m_RG=m)


def swapped_groups(w: Weights) -> Weights:
    assert w.d_RG is not None
    d = w.d_RG.copy()
    d[:, [0, 1]] = d[:, [1, 0]]
    return replace(w, d_RG=d)


def swapped_columns(w: Weights) -> Weights:
    values = w.values.copy()
    values[:, [1, 17]] = values[:, [17, 1]]
    return replace(w, values=values)


def _bump(numbers: np.ndarray | None) -> np.ndarray:
    """The largest group of one row off by the last bit of an fp16 number."""
    assert numbers is not None
    bumped = numbers.copy()
    bumped[17, np.abs(bumped[17]).argmax()] *= F32(1 + 2**-10)
    return bumped


MUTATIONS = (wrong_code, wrong_rows, swapped_columns)
GROUP_MUTATIONS = (wrong_scale, wrong_zero, swapped_groups)
MINIMUM_MUTATIONS = (wrong_minimum,)


@pytest.mark.parametrize("type", TYPES)
def test_no_mutation_goes_unnoticed(type: str) -> None:
    columns = columns_of(type)[1]
    blocks, x = matrix(type, 48, columns), inputs(columns)[:5]
    weights, ours = blocks.weights(), multiply(blocks, x)
    mutations = MUTATIONS
    mutations += GROUP_MUTATIONS if weights.d_RG is not None else ()
    mutations += MINIMUM_MUTATIONS if weights.m_RG is not None else ()
    assert agrees(ours, linear(x, weights))
    for mutate in mutations:
        assert not agrees(ours, linear(x, mutate(weights))), mutate.__name__


@pytest.mark.parametrize("type", TYPES)
def test_rows_are_dequantised(type: str) -> None:
    blocks = matrix(type, 50, columns_of(type)[-1])
    ours = packed(blocks)
    rows = np.array([ours.row(index) for index in range(50)], F32)
    np.testing.assert_array_equal(rows, dequantise(blocks.weights()))
    assert (ours.rows, ours.columns, ours.type) == (50, blocks.columns, type)


@pytest.mark.parametrize("type", TYPES)
def test_rows_are_mapped(type: str) -> None:
    blocks = matrix(type, 48, columns_of(type)[0])
    order = [int(i) for i in np.random.default_rng(0).permutation(48)]
    ours, x = packed(blocks, order), inputs(blocks.columns)[:3]
    assert ours.row(5) == packed(blocks).row(order[5])
    products = np.frombuffer(ours.multiply(x, tokens=3), F32).reshape(3, 48)
    np.testing.assert_array_equal(products, expected(type, 48, blocks.columns)[:3, order])


@pytest.mark.parametrize("type", TYPES)
def test_packing_widens_little(type: str) -> None:
    blocks = matrix(type, 48, columns_of(type)[-1])
    assert packed(blocks).nbytes <= 1.25 * len(blocks.data) + 4096


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": 15},
        {"rows": 17},
        {"rows": 0},
        {"rows": -16},
        {"columns": 48},
        {"columns": 0},
        {"type": "Q8_K"},
        {"type": "q4_1"},
        {"row_map": [16]},
        {"row_map": [-1] * 16},
        {"row_map": list(range(1, 17))},
    ],
    ids=str,
)
def test_wrong_shapes_are_refused(wrong: dict[str, object]) -> None:
    right = {"type": "Q4_1", "rows": 16, "columns": 64}
    with pytest.raises(ValueError, match=r"\w"):
        _native.PackedMatrix(matrix("Q4_1", 16, 64).data, **right | wrong)


def test_wrong_products_are_refused() -> None:
    ours = packed(matrix("Q4_1", 16, 64))
    x = inputs(64)[:2]
    with pytest.raises(ValueError, match=r"\w"):
        ours.multiply(x, tokens=3)
    with pytest.raises(ValueError, match=r"\w"):
        ours.multiply(x, tokens=0)
    with pytest.raises(ValueError, match=r"\w"):
        ours.multiply(x, tokens=2, target="avx9000")
    for index in (-1, 16):
        with pytest.raises(ValueError, match=r"\w"):
            ours.row(index)


@pytest.mark.parametrize("type", TYPES)
def test_pieces_make_the_same_matrix(type: str) -> None:
    blocks = matrix(type, 50, 256)
    data = bytes(blocks.data)
    row_bytes = len(data) // 50
    cuts = (0, 1, 17, 17, 49, 50)
    pieces = [data[a * row_bytes : b * row_bytes] for a, b in pairwise(cuts)]
    order = [49 - i for i in range(50)]
    for row_map in (None, order):
        whole = _native.PackedMatrix(data, type=type, rows=50, columns=256, row_map=row_map)
        mended = _native.PackedMatrix.from_pieces(
            iter(pieces), type=type, rows=50, columns=256, row_map=row_map
        )
        assert [mended.row(i) for i in range(50)] == [whole.row(i) for i in range(50)]


def test_pieces_that_do_not_fit() -> None:
    row = bytes(20)
    for pieces in ([row, row], [row] * 4, [row, row[:-1], row], []):
        with pytest.raises(ValueError, match="a Q4_1 matrix of 3 x 32 takes 60 bytes, got"):
            _native.PackedMatrix.from_pieces(pieces, type="Q4_1", rows=3, columns=32)
    with pytest.raises(ValueError, match=r"row_map\[0\] is 5, outside 3 source rows"):
        _native.PackedMatrix.from_pieces([row] * 3, type="Q4_1", rows=1, columns=32, row_map=[5])
