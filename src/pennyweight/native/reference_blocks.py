"""GGUF weight blocks in NumPy: what a stored value means, apart from any arithmetic on it.

Every type becomes integers with one `d` (and, where the type has minimums, one `m`) per group, so that a
weight is `d * (value - zero) + m`. The layouts are those of the tensor types named in
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Nothing is lost: `d` and `m` are exact in float32.

Shape letters: R rows, C columns, N blocks of the file, G groups of a row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A decoded `[R, C]` matrix. `values` are int16, or float32 for float types, which have no groups."""

    type: str
    values: NDArray[np.int16] | Floats
    d_RG: Floats | None = None
    m_RG: Floats | None = None
    zero: int = 0
    group: int = 0  # columns that share one `d`: 32 or 16

    @property
    def rows(self) -> int:
        return int(self.values.shape[0])

    @property
    def columns(self) -> int:
        return int(self.values.shape[1])


@dataclass(frozen=True, slots=True)
class BlockType:
    """`elements` weights in `nbytes` bytes, and the function that takes `[N, nbytes]` bytes apart."""

    elements: int
    nbytes: int
    split: Callable[[Bytes], Weights]


def decode(
    data: bytes | bytearray | Bytes,
    *,
    type: str,
    rows: int,
    columns: int,
    row_map: Sequence[int] | None = None,
) -> Weights:
    """GGUF blocks, row by row; row `i` returned is source row `row_map[i]`. ValueError if sizes disagree."""
    block = BLOCK_TYPES[type]
    raw = np.frombuffer(data, np.uint8)
    if columns % block.elements or raw.size != rows * columns // block.elements * block.nbytes:
        raise ValueError(f"{raw.size} bytes are not a {type} matrix of {rows} x {columns}")
    flat = block.split(raw.reshape(-1, block.nbytes))
    whole = replace(
        flat,
        type=type,
        values=flat.values.reshape(rows, columns),
        d_RG=None if flat.d_RG is None else flat.d_RG.reshape(rows, -1),
        m_RG=None if flat.m_RG is None else flat.m_RG.reshape(rows, -1),
    )
    return whole if row_map is None else take_rows(whole, row_map)


def take_rows(weights: Weights, rows: Sequence[int] | NDArray[np.intp]) -> Weights:
    """The matrix of the given rows, in that order."""
    index = np.asarray(rows, np.intp)
    return replace(
        weights,
        values=weights.values[index],
        d_RG=None if weights.d_RG is None else weights.d_RG[index],
        m_RG=None if weights.m_RG is None else weights.m_RG[index],
    )


def dequantise(weights: Weights) -> Floats:
    """`[R, C]` float32: `d * float(value - zero)`, or with minimums `d * value + m` rounded once."""
    if weights.d_RG is None:
        return weights.values.astype(np.float32)
    values = (weights.values - np.int16(weights.zero)).astype(np.float32)
    d = np.repeat(weights.d_RG, weights.group, axis=1)
    if weights.m_RG is None:
        return d * values
    # d, m: fp16 or fp16 times six bits; value: five bits; the float64 sum is exact or one rounding from it.
    exact = d.astype(np.float64) * values + np.repeat(weights.m_RG, weights.group, axis=1)
    return exact.astype(np.float32)


def from_float(array: NDArray[np.floating]) -> Weights:
    """A float matrix as F32 weights."""
    return Weights(type="F32", values=np.ascontiguousarray(array, np.float32))


# --- the types ----------------------------------------------------------------------------------------------
def _half(raw: Bytes) -> Floats:
    return np.ascontiguousarray(raw).view(np.float16).astype(np.float32)


def _nibbles(raw: Bytes) -> NDArray[np.int16]:
    """Sixteen bytes hold 32 values: the low halves first, then the high halves."""
    return np.concatenate([raw & 15, raw >> 4], axis=-1).astype(np.int16)


def _fifth_bits(raw: Bytes) -> NDArray[np.int16]:
    """Bit `j` of a little-endian 32-bit word is bit 4 of value `j`."""
    return np.unpackbits(raw, axis=-1, bitorder="little").astype(np.int16) << 4


def _f32(raw: Bytes) -> Weights:
    return Weights(type="F32", values=raw.view(np.float32))


def _f16(raw: Bytes) -> Weights:
    return Weights(type="F16", values=_half(raw))


def _bf16(raw: Bytes) -> Weights:
    return Weights(type="BF16", values=(raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32))


def _q4_0(raw: Bytes) -> Weights:
    return Weights(type="Q4_0", values=_nibbles(raw[:, 2:]), d_RG=_half(raw[:, :2]), zero=8, group=32)


def _q4_1(raw: Bytes) -> Weights:
    d, m = _half(raw[:, :2]), _half(raw[:, 2:4])
    return Weights(type="Q4_1", values=_nibbles(raw[:, 4:]), d_RG=d, m_RG=m, group=32)


def _q5_0(raw: Bytes) -> Weights:
    values = _nibbles(raw[:, 6:]) | _fifth_bits(raw[:, 2:6])
    return Weights(type="Q5_0", values=values, d_RG=_half(raw[:, :2]), zero=16, group=32)


def _q5_1(raw: Bytes) -> Weights:
    values = _nibbles(raw[:, 8:]) | _fifth_bits(raw[:, 4:8])
    d, m = _half(raw[:, :2]), _half(raw[:, 2:4])
    return Weights(type="Q5_1", values=values, d_RG=d, m_RG=m, group=32)


def _q8_0(raw: Bytes) -> Weights:
    values = raw[:, 2:].view(np.int8).astype(np.int16)
    return Weights(type="Q8_0", values=values, d_RG=_half(raw[:, :2]), group=32)


def _six_bit_scales(raw_N12: Bytes) -> tuple[Floats, Floats]:
    """Eight scales and eight minimums of six bits: four of each whole, the rest spread over spare bits."""
    first, second, third = raw_N12[:, :4], raw_N12[:, 4:8], raw_N12[:, 8:]
    scales = np.concatenate([first & 63, (third & 15) | (first >> 6 << 4)], axis=1)
    minimums = np.concatenate([second & 63, (third >> 4) | (second >> 6 << 4)], axis=1)
    return scales.astype(np.float32), minimums.astype(np.float32)


def _k_groups(raw: Bytes) -> tuple[Floats, Floats]:
    scales, minimums = _six_bit_scales(raw[:, 4:16])
    return _half(raw[:, :2]) * scales, -(_half(raw[:, 2:4]) * minimums)


def _k_nibbles(raw_N128: Bytes) -> NDArray[np.int16]:
    """Each run of 32 bytes holds two groups of 32: one in the low halves, the next in the high halves."""
    return _nibbles(raw_N128.reshape(-1, 4, 32)).reshape(-1, 256)


def _q4_k(raw: Bytes) -> Weights:
    d, m = _k_groups(raw)
    return Weights(type="Q4_K", values=_k_nibbles(raw[:, 16:]), d_RG=d, m_RG=m, group=32)


def _q5_k(raw: Bytes) -> Weights:
    d, m = _k_groups(raw)
    # Bit g of byte l is bit 4 of value l of group g.
    high = (raw[:, 16:48][:, None, :] >> np.arange(8, dtype=np.uint8)[:, None]) & 1
    values = _k_nibbles(raw[:, 48:]) | high.reshape(-1, 256).astype(np.int16) << 4
    return Weights(type="Q5_K", values=values, d_RG=d, m_RG=m, group=32)


def _pairs(raw_N64: Bytes) -> NDArray[np.int16]:
    """In each half of 128, byte l of 32 holds two bits for values l, l + 32, l + 64 and l + 96."""
    pairs = raw_N64.reshape(-1, 2, 1, 32) >> np.array([[0], [2], [4], [6]], np.uint8) & 3
    return pairs.reshape(-1, 256).astype(np.int16)


def _q6_k(raw: Bytes) -> Weights:
    low = raw[:, :128].reshape(-1, 2, 64)
    low_256 = np.concatenate([low & 15, low >> 4], axis=-1).reshape(-1, 256)
    values = low_256.astype(np.int16) | _pairs(raw[:, 128:192]) << 4
    d = _half(raw[:, 208:]) * raw[:, 192:208].view(np.int8).astype(np.float32)
    return Weights(type="Q6_K", values=values, d_RG=d, zero=32, group=16)


def _q2_k(raw: Bytes) -> Weights:
    d = _half(raw[:, 80:82]) * (raw[:, :16] & 15).astype(np.float32)
    m = -(_half(raw[:, 82:]) * (raw[:, :16] >> 4).astype(np.float32))
    return Weights(type="Q2_K", values=_pairs(raw[:, 16:80]), d_RG=d, m_RG=m, group=16)


def _q3_k_scales(raw_N12: Bytes) -> Floats:
    """Sixteen scales of six bits, less 32: low nibbles of all in eight bytes, then pairs of upper bits."""
    low = np.concatenate([raw_N12[:, :8] & 15, raw_N12[:, :8] >> 4], axis=1)
    high = raw_N12[:, None, 8:] >> np.array([[0], [2], [4], [6]], np.uint8) & 3
    return np.asarray((low | high.reshape(-1, 16) << 4).astype(np.float32) - np.float32(32))


def _q3_k(raw: Bytes) -> Weights:
    third = (raw[:, :32][:, None, :] >> np.arange(8, dtype=np.uint8)[:, None]) & 1
    values = _pairs(raw[:, 32:96]) | third.reshape(-1, 256).astype(np.int16) << 2
    d = _half(raw[:, 108:]) * _q3_k_scales(raw[:, 96:108])
    return Weights(type="Q3_K", values=values, d_RG=d, zero=4, group=16)


_CODEBOOK = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)  # of the IQ4 types


def _looked_up(places: NDArray[np.int16]) -> NDArray[np.int16]:
    return np.array(_CODEBOOK, np.int16)[places]


def _iq4_nl(raw: Bytes) -> Weights:
    return Weights(type="IQ4_NL", values=_looked_up(_nibbles(raw[:, 2:])), d_RG=_half(raw[:, :2]), group=32)


def _iq4_xs(raw: Bytes) -> Weights:
    low = np.stack([raw[:, 4:8] & 15, raw[:, 4:8] >> 4], axis=-1).reshape(-1, 8)
    high = raw[:, 2:4, None] >> np.array([0, 2, 4, 6], np.uint8) & 3
    scales = (low | high.reshape(-1, 8) << 4).astype(np.float32) - np.float32(32)
    values = _looked_up(_nibbles(raw[:, 8:].reshape(-1, 8, 16))).reshape(-1, 256)
    return Weights(type="IQ4_XS", values=values, d_RG=_half(raw[:, :2]) * scales, group=32)


BLOCK_TYPES: Mapping[str, BlockType] = {
    "F32": BlockType(1, 4, _f32),
    "F16": BlockType(1, 2, _f16),
    "BF16": BlockType(1, 2, _bf16),
    "Q4_0": BlockType(32, 18, _q4_0),
    "Q4_1": BlockType(32, 20, _q4_1),
    "Q5_0": BlockType(32, 22, _q5_0),
    "Q5_1": BlockType(32, 24, _q5_1),
    "Q8_0": BlockType(32, 34, _q8_0),
    "Q4_K": BlockType(256, 144, _q4_k),
    "Q5_K": BlockType(256, 176, _q5_k),
    "Q6_K": BlockType(256, 210, _q6_k),
    "Q2_K": BlockType(256, 84, _q2_k),
    "Q3_K": BlockType(256, 110, _q3_k),
    "IQ4_NL": BlockType(32, 18, _iq4_nl),
    "IQ4_XS": BlockType(256, 136, _iq4_xs),
}
