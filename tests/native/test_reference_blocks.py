"""Decoding of GGUF blocks against the format's own package, and by hand for one block of each family."""

from __future__ import annotations

import numpy as np
import pytest

from pennyweight.native.reference_blocks import decode, dequantise, from_float, take_rows
from tests.native.random_blocks import TYPES, random_blocks


@pytest.mark.parametrize("type", TYPES)
def test_values_are_those_of_the_format(type: str) -> None:
    gguf = pytest.importorskip("gguf", reason="the gguf package is not installed")
    blocks = random_blocks(np.random.default_rng(3), type, 7, 512)
    storage = {"F32": np.float32, "F16": np.float16}.get(type, np.uint8)
    raw = np.frombuffer(blocks.data, storage).reshape(7, -1)
    expected = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[type])
    np.testing.assert_array_equal(dequantise(blocks.weights()), expected.astype(np.float32))


def test_q4_1_by_hand() -> None:
    data = np.array([0.5, -3.0], np.float16).tobytes() + bytes([0x21] + [0xF0] * 15)
    (row,) = dequantise(decode(data, type="Q4_1", rows=1, columns=32))
    assert row.tolist() == [-2.5] + [-3.0] * 15 + [-2.0] + [4.5] * 15


def test_q6_k_by_hand() -> None:
    raw = np.zeros(210, np.uint8)
    raw[192:208] = 1
    raw[208:] = np.array([0.25], np.float16).view(np.uint8)
    raw[0], raw[128], raw[203] = 0x52, 0b11_10_01_00, 254
    (row,) = dequantise(decode(raw.tobytes(), type="Q6_K", rows=1, columns=256))
    # Codes 2, 0 + 16, 5 + 32 and 0 + 48, all minus 32; group 11 has the scale -2.
    assert row[[0, 32, 64, 96]].tolist() == [-7.5, -4.0, 1.25, 4.0]
    assert row[[1, 175, 176, 191, 192]].tolist() == [-8.0, -8.0, 16.0, 16.0, -8.0]


def test_rows_are_mapped() -> None:
    blocks = random_blocks(np.random.default_rng(4), "Q5_K", 4, 256)
    order = [2, 0, 3, 1]
    mapped = decode(blocks.data, type="Q5_K", rows=4, columns=256, row_map=order)
    np.testing.assert_array_equal(dequantise(mapped), dequantise(blocks.weights())[order])
    np.testing.assert_array_equal(dequantise(take_rows(blocks.weights(), [3])), dequantise(mapped)[2:3])


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match="not a Q8_0 matrix of 1 x 64"):
        decode(bytes(34), type="Q8_0", rows=1, columns=64)


def test_floats_stay_themselves() -> None:
    values = np.arange(6, dtype=np.float64).reshape(2, 3) / 3
    np.testing.assert_array_equal(dequantise(from_float(values)), values.astype(np.float32))
