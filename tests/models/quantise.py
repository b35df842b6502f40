"""Plain encoders of every storage type, in NumPy: nearest code under simple scales, no search.

Layouts are those of ggml's block structures. `quantise` is for test models only; how good the codes are does
not matter, that they are well-formed and use all their bits does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Bytes = NDArray[np.uint8]


def quantise(values: Floats, kind: str) -> bytes:
    """Blocks of `kind` for an array whose rows are multiples of the block (32, or 256 for K types)."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    if kind == "F32":
        return values.tobytes()
    if kind == "F16":
        return values.astype(np.float16).tobytes()
    if kind == "BF16":
        return _bfloat16(values).tobytes()
    encode, size = _ENCODERS[kind]
    return encode(values.reshape(-1, size)).tobytes()


def _bfloat16(values: Floats) -> NDArray[np.uint16]:
    """Upper halves, rounded to nearest even."""
    bits = values.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _half(values: Floats) -> tuple[Bytes, Floats]:
    """fp16 as `[blocks, 2]` bytes, and the rounded values as `[blocks, 1]`."""
    rounded = values.astype(np.float16).reshape(-1, 1)
    return rounded.view(np.uint8), rounded.astype(np.float32)


def _codes(values: Floats, scale: Floats, low: int, high: int) -> NDArray[np.int32]:
    safe = np.where(scale == 0, np.float32(1), scale)
    return np.clip(np.rint(values / safe), low, high).astype(np.int32)


def _nibbles(codes: NDArray[np.int32]) -> Bytes:
    """32 codes in 16 bytes: the first half in the low nibbles, the second in the high ones."""
    half = codes.shape[-1] // 2
    return ((codes[..., :half] & 15) | ((codes[..., half:] & 15) << 4)).astype(np.uint8)


def _fifth_bits(codes: NDArray[np.int32]) -> Bytes:
    bits = ((codes >> 4) & 1).astype(np.uint8)
    return np.packbits(bits, axis=1, bitorder="little")


def _extreme(blocks: Floats) -> Floats:
    """The value of largest magnitude of each block, with its sign."""
    extreme: Floats = blocks[np.arange(len(blocks)), np.abs(blocks).argmax(axis=1)]
    return extreme


def _q4_0(blocks: Floats) -> Bytes:
    head, scale = _half(_extreme(blocks) / np.float32(-8))
    codes = _codes(blocks, scale, -8, 7) + 8
    return np.hstack([head, _nibbles(codes)])


def _q5_0(blocks: Floats) -> Bytes:
    head, scale = _half(_extreme(blocks) / np.float32(-16))
    codes = _codes(blocks, scale, -16, 15) + 16
    return np.hstack([head, _fifth_bits(codes), _nibbles(codes)])


def _with_minimum(blocks: Floats, steps: int) -> tuple[Bytes, NDArray[np.int32]]:
    low = blocks.min(axis=1)
    scale_bytes, scale = _half((blocks.max(axis=1) - low) / steps)
    low_bytes, low_rounded = _half(low)
    return np.hstack([scale_bytes, low_bytes]), _codes(blocks - low_rounded, scale, 0, steps)


def _q4_1(blocks: Floats) -> Bytes:
    head, codes = _with_minimum(blocks, 15)
    return np.hstack([head, _nibbles(codes)])


def _q5_1(blocks: Floats) -> Bytes:
    head, codes = _with_minimum(blocks, 31)
    return np.hstack([head, _fifth_bits(codes), _nibbles(codes)])


def _q8_0(blocks: Floats) -> Bytes:
    head, scale = _half(np.abs(blocks).max(axis=1) / 127)
    return np.hstack([head, _codes(blocks, scale, -127, 127).astype(np.int8).view(np.uint8)])


def _sub_scales(blocks: Floats, steps: int) -> tuple[Bytes, NDArray[np.int32]]:
    """The 16 leading bytes of Q4_K and Q5_K, and codes `[blocks, 8, 32]` under those rounded scales."""
    groups = blocks.reshape(-1, 8, 32)
    minimum = np.maximum(-groups.min(axis=2), 0)
    scale = (groups.max(axis=2) + minimum) / steps
    d_bytes, d = _half(scale.max(axis=1) / 63)
    m_bytes, m = _half(minimum.max(axis=1) / 63)
    sc, mn = _codes(scale, d, 0, 63), _codes(minimum, m, 0, 63)
    packed = np.zeros((len(blocks), 12), np.int32)
    packed[:, 0:4] = sc[:, :4] | ((sc[:, 4:] >> 4) << 6)
    packed[:, 4:8] = mn[:, :4] | ((mn[:, 4:] >> 4) << 6)
    packed[:, 8:12] = (sc[:, 4:] & 15) | ((mn[:, 4:] & 15) << 4)
    codes = _codes(groups + (m * mn)[:, :, None], (d * sc)[:, :, None], 0, steps)
    return np.hstack([d_bytes, m_bytes, packed.astype(np.uint8)]), codes


def _nibbles_by_pairs(codes: NDArray[np.int32]) -> Bytes:
    """`[blocks, 8, 32]`: groups 0 and 1 share 32 bytes, then 2 and 3, and so on."""
    return ((codes[:, 0::2] & 15) | ((codes[:, 1::2] & 15) << 4)).reshape(-1, 128).astype(np.uint8)


def _q4_k(blocks: Floats) -> Bytes:
    head, codes = _sub_scales(blocks, 15)
    return np.hstack([head, _nibbles_by_pairs(codes)])


def _q5_k(blocks: Floats) -> Bytes:
    head, codes = _sub_scales(blocks, 31)
    groups = np.arange(8)[None, :, None]
    high = (((codes >> 4) & 1) << groups).sum(axis=1).astype(np.uint8)  # bit g of byte i: group g, element i
    return np.hstack([head, high, _nibbles_by_pairs(codes)])


def _q6_k(blocks: Floats) -> Bytes:
    """Halves of 128 elements; in each, element `l + 32 j` has its high bits at bit `2 j` of byte l."""
    groups = blocks.reshape(-1, 16, 16)
    scale = np.abs(groups).max(axis=2) / 32
    d_bytes, d = _half(scale.max(axis=1) / 127)
    sc = _codes(scale, d, -127, 127)
    codes = (_codes(groups, (d * sc)[:, :, None], -32, 31) + 32).reshape(-1, 2, 4, 32)
    low = ((codes[:, :, :2] & 15) | ((codes[:, :, 2:] & 15) << 4)).reshape(-1, 128)
    high = ((codes >> 4) << (2 * np.arange(4))[None, None, :, None]).sum(axis=2).reshape(-1, 64)
    sub = sc.astype(np.int8).view(np.uint8)
    return np.hstack([low.astype(np.uint8), high.astype(np.uint8), sub, d_bytes])


_ENCODERS = {
    "Q4_0": (_q4_0, 32),
    "Q4_1": (_q4_1, 32),
    "Q5_0": (_q5_0, 32),
    "Q5_1": (_q5_1, 32),
    "Q8_0": (_q8_0, 32),
    "Q4_K": (_q4_k, 256),
    "Q5_K": (_q5_k, 256),
    "Q6_K": (_q6_k, 256),
}
