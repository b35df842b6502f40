"""The arithmetic of docs/numerics.md in NumPy: the same float32 operations in the same order, rows at once.

It agrees with the compiled kernels bit for bit, except for results below 2^-126: there `fma` may round twice.

Shape letters: T tokens, N elements of a vector, R rows, B blocks of 32, H query heads, K key heads,
Q = H / K, D elements of a head, P positions of a page.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from pennyweight.core import PAGE_TOKENS
from pennyweight.native.reference_blocks import Floats, Weights, dequantise, take_rows
from pennyweight.native.reference_four_bits import bfloat16, hadamard, nearest_levels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

BLOCK = 32
FINE = 16  # columns of a scale of a finely quantised input
HEAD_GROUP = 32  # elements of a query or key head with a scale of their own
SEGMENT_PAGES = 4
LOG2E = 1.4426950408889634
_EXP2_COEFFICIENTS = (
    0.000154035308,
    0.00133335581,
    0.00961812865,
    0.0555041091,
    0.240226507,
    0.693147182,
    1.0,
)
_ROW_CHUNK = 2048  # rows of a matrix whose sums stay in the cache
F32 = np.float32


# --- building blocks ----------------------------------------------------------------------------------------
def fma(a: Floats, b: Floats, c: Floats) -> Floats:
    """`a * b + c` rounded once. The product is exact in float64; a sum halfway between floats needs care."""
    product = np.multiply(a, b, dtype=np.float64)
    total = product + c
    halfway = (total.view(np.int64) & 0x1FFFFFFF) == 0x10000000
    if halfway.any():
        product_h = np.broadcast_to(product, total.shape)[halfway]
        c_h = np.broadcast_to(c, total.shape)[halfway].astype(np.float64)
        total_h = total[halfway]
        product_part = total_h - c_h
        error = (product_h - product_part) + (c_h - (total_h - product_part))
        nudged = np.nextafter(total_h, np.where(error > 0, np.inf, -np.inf))
        total[halfway] = np.where(error == 0, total_h, nudged)
    return total.astype(F32)


def tree(lanes: Floats) -> Floats:
    """Sum over a last axis of 16: lanes 8 apart, then 4, 2, 1."""
    for width in (8, 4, 2, 1):
        lanes = lanes[..., :width] + lanes[..., width:]
    return lanes[..., 0]


def exp2(t: Floats) -> Floats:
    t = np.clip(np.asarray(t, F32), F32(-126), F32(126))
    n = np.rint(t)
    f = t - n
    y = np.full_like(f, _EXP2_COEFFICIENTS[0])
    for coefficient in _EXP2_COEFFICIENTS[1:]:
        y = fma(y, f, np.full_like(f, coefficient))
    return np.ldexp(y, n.astype(np.int32))


@dataclass(frozen=True, slots=True)
class Quantised:
    """Integers held in float32 (dots stay below 2^24, so BLAS sums them exactly) and a scale per group."""

    values: Floats
    scale: Floats

    @property
    def sums(self) -> Floats:
        return np.asarray(self.values.sum(axis=-1))


def _units(x: Floats) -> tuple[Floats, Floats]:
    """Over the last axis: the scale at which the largest is 127, and `x` in it."""
    amax = np.abs(x).max(axis=-1)
    empty = amax < F32(1e-30)
    scale = np.where(empty, F32(0), amax / F32(127))
    inverse = np.where(empty, F32(0), F32(127) / np.where(empty, F32(1), amax))
    return scale, x * inverse[..., None]


def quantise(x: Floats) -> Quantised:
    """Over the last axis, to -127..127."""
    scale, y = _units(x)
    return Quantised(np.rint(y), scale)


def quantise_4(x: Floats) -> Quantised:
    """Over the last axis, to one of sixteen levels, with the scale of the least squared error."""
    scale, y = _units(x)
    level = nearest_levels(y)
    factor = _dot(y, level) / _dot(level, level)
    return Quantised(level, bfloat16(factor * scale))


def _dot(a: Floats, b: Floats) -> Floats:
    lanes = np.zeros((*a.shape[:-1], 16), F32)
    for start in range(0, a.shape[-1], 16):
        lanes = fma(a[..., start : start + 16], b[..., start : start + 16], lanes)
    return tree(lanes)


def _padded(x: Floats, multiple: int) -> Floats:
    """Zeros at the end of the last axis, up to a multiple."""
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % multiple)])


def rmsnorm(x_TN: Floats, weight_N: Floats, eps: float) -> Floats:
    count = x_TN.shape[-1]
    lanes = np.zeros((*x_TN.shape[:-1], 16), F32)
    padded_TN = _padded(x_TN, 16)
    for start in range(0, count, 16):
        part = padded_TN[..., start : start + 16]
        lanes = fma(part, part, lanes)
    r = F32(1) / np.sqrt(tree(lanes) / F32(count) + F32(eps))
    return np.asarray((x_TN * r[..., None]) * weight_N)


def silu_gate(g: Floats, u: Floats) -> Floats:
    return (g / (F32(1) + exp2(g * F32(-1.44269502)))) * u


def gelu_gate(g: Floats, u: Floats) -> Floats:
    inner = g * fma(g * g, np.full_like(g, 0.0356774081), np.full_like(g, 0.797884561))
    return (g / (F32(1) + exp2(inner * F32(-2.88539008)))) * u


def gate(activation: Literal["silu", "gelu_tanh"], g: Floats, u: Floats) -> Floats:
    return silu_gate(g, u) if activation == "silu" else gelu_gate(g, u)


def softcap(t: Floats, cap: float) -> Floats:
    """`cap * tanh(x / cap)` from `t = x * 2 log2(e) / cap`."""
    return np.asarray(F32(cap) - F32(2) * F32(cap) / (F32(1) + exp2(t)))


def logits(z: Floats, *, scale: float, cap: float) -> Floats:
    """`z` times `scale`, then bounded by `cap` (0: not)."""
    z = z * F32(scale)
    return softcap(z * F32(2 * LOG2E / cap), cap) if cap else z


def add_scaled(x: Floats, y: Floats, scale: float | Floats) -> Floats:
    return fma(y, np.full_like(y, scale), x)


# --- experts ------------------------------------------------------------------------------------------------
def chosen_experts(z_TE: Floats, used: int) -> NDArray[np.bool_]:
    """The `used` largest logits of each row, of equal ones the first."""
    chosen = np.zeros(z_TE.shape, bool)
    np.put_along_axis(chosen, np.argsort(-z_TE, axis=-1, kind="stable")[:, :used], True, axis=-1)
    return chosen


def expert_weights(z_TE: Floats, *, used: int, normalize: bool, scale: float) -> Floats:
    """From router logits `[T, E]` the weight of each expert, 0 for those not chosen."""
    chosen = chosen_experts(z_TE, used)
    t = (z_TE - z_TE.max(axis=-1, keepdims=True)) * F32(LOG2E)
    p = np.where(t >= F32(-126), exp2(t), F32(0))
    runs = _padded(np.where(chosen, p, F32(0)) if normalize else p, 16).reshape(len(p), -1, 16)
    total = tree(runs).astype(np.float64).cumsum(axis=-1)[:, -1:].astype(F32)
    return np.where(chosen, p / total * F32(scale), F32(0))


# --- linear layers ------------------------------------------------------------------------------------------
def linear(x_TN: Floats, weights: Weights, *, fine: bool = False) -> Floats:
    """`[T, N]` times `[R, N]` transposed; `fine` quantises `x` with a scale per 16 columns instead of 32."""
    chunks = range(0, weights.rows, _ROW_CHUNK)
    parts = [take_rows(weights, range(c, min(c + _ROW_CHUNK, weights.rows))) for c in chunks]
    if weights.d_RG is None:
        return np.concatenate([_float_rows(x_TN, part) for part in parts], axis=1)
    x = quantise(x_TN.reshape(len(x_TN), -1, FINE if fine else BLOCK))
    return np.concatenate([_integer_rows(x, part) for part in parts], axis=1)


def _float_rows(x_TN: Floats, weights: Weights) -> Floats:
    acc_TR = np.zeros((len(x_TN), weights.rows), F32)
    x_TN, w_RN = _padded(x_TN, BLOCK), _padded(weights.values.astype(F32), BLOCK)
    for k in range(w_RN.shape[1]):
        acc_TR = fma(w_RN[None, :, k], x_TN[:, k, None], acc_TR)
    return acc_TR


def _integer_rows(x_TG: Quantised, weights: Weights) -> Floats:
    """Integer sums run over the columns that share a scale on both sides."""
    assert weights.d_RG is not None
    acc_TR = np.zeros((len(x_TG.scale), weights.rows), F32)
    grain = x_TG.values.shape[-1]
    run = min(grain, weights.group)
    values_TN = x_TG.values.reshape(len(acc_TR), -1)
    for first in range(0, weights.columns, run):
        columns = slice(first, first + run)
        w = (weights.values[:, columns] - np.int16(weights.zero)).astype(F32)
        d_TR = weights.d_RG[None, :, first // weights.group] * x_TG.scale[:, first // grain, None]
        acc_TR = fma(values_TN[:, columns] @ w.T, d_TR, acc_TR)
        if weights.m_RG is not None and (first + run) % BLOCK == 0:
            for m_R, sums_T in _minimums(x_TG, weights, block=first // BLOCK):
                acc_TR = fma(m_R[None, :], sums_T[:, None], acc_TR)
    return acc_TR


def _minimums(x_TG: Quantised, weights: Weights, *, block: int) -> Iterator[tuple[Floats, Floats]]:
    """Each minimum of a block and the scaled sums of the inputs it is added for."""
    assert weights.m_RG is not None
    if weights.group == FINE:  # the sums of halves, whatever the grain
        q_T2F = x_TG.values.reshape(len(x_TG.values), -1, 2, FINE)[:, block]
        for half in range(2):
            scale_T = x_TG.scale.reshape(len(x_TG.scale), -1, BLOCK // x_TG.values.shape[-1])[:, block]
            yield (
                weights.m_RG[:, 2 * block + half],
                scale_T[:, half % scale_T.shape[1]] * q_T2F[:, half].sum(-1),
            )
        return
    parts = (x_TG.scale * x_TG.sums).reshape(len(x_TG.scale), -1, BLOCK // x_TG.values.shape[-1])[:, block]
    yield weights.m_RG[:, block], parts[:, 0] if parts.shape[1] == 1 else parts[:, 0] + parts[:, 1]


def embed(weights: Weights, tokens: list[int], scale: float) -> Floats:
    """The rows of `tokens`, times `scale`."""
    return dequantise(take_rows(weights, tokens)) * F32(scale)


# --- attention ----------------------------------------------------------------------------------------------
def rotate(x_THD: Floats, positions: range, frequencies: tuple[float, ...], magnitude: float = 1.0) -> Floats:
    """Pairs `(i, i + half)` turn by `position * frequencies[i]`, taken in double; what is beyond stays.

    Pairs that turn are stretched by `magnitude`.
    """
    turns = [[(position * f, magnitude if f else 1.0) for f in frequencies] for position in positions]
    cos = np.array([[math.cos(a) * m for a, m in row] for row in turns], F32)[:, None, :]
    sin = np.array([[math.sin(a) * m for a, m in row] for row in turns], F32)[:, None, :]
    half = len(frequencies)
    x0, x1, rest = np.split(x_THD, [half, 2 * half], axis=-1)
    return np.concatenate([fma(x0, cos, -(x1 * sin)), fma(x1, cos, x0 * sin), rest], axis=-1)


def visible(positions_T: NDArray[np.intp], keys_P: NDArray[np.intp], window: int | None) -> NDArray[np.bool_]:
    """`[T, P]`: keys not later than the query and less than `window` positions earlier."""
    distance = positions_T[:, None] - keys_P[None, :]
    return distance >= 0 if window is None else (distance >= 0) & (distance < window)


@dataclass(frozen=True, slots=True)
class Softmax:
    """A running softmax over some keys: maximum (base 2), denominator, and the weighted sum of values."""

    m: Floats
    l: Floats  # noqa: E741 (the name of docs/numerics.md)
    O: Floats  # noqa: E741

    @staticmethod
    def empty(shape: tuple[int, ...], head_dim: int) -> Softmax:
        return Softmax(np.full(shape, F32(-1e30)), np.zeros(shape, F32), np.zeros((*shape, head_dim), F32))

    def merge(self, m: Floats, l: Floats, O: Floats, scale: Floats | None = None) -> Softmax:  # noqa: E741
        """`O` counts in units of `scale`, which multiplies its factor before it is used."""
        new = np.maximum(self.m, m)
        c, c_other = exp2(self.m - new), exp2(m - new)
        factor = c_other if scale is None else scale * c_other
        total = fma(O, np.broadcast_to(factor[..., None], O.shape), self.O * c[..., None])
        return Softmax(new, fma(self.l, c, l * c_other), total)

    def where(self, condition: NDArray[np.bool_], other: Softmax) -> Softmax:
        O = np.where(condition[..., None], self.O, other.O)  # noqa: E741
        return Softmax(np.where(condition, self.m, other.m), np.where(condition, self.l, other.l), O)


def attend(
    q_THD: Floats,
    k_TKD: Floats,
    v_TKD: Floats,
    *,
    scale: float,
    window: int | None,
    cap: float = 0.0,
    kv_format: str = "int8",
) -> Floats:
    """Queries and keys of the positions `0 .. T - 1`, with their positions; returns `[T, H, D]`."""
    attend_with = partial(_attend, scale=scale, window=window, cap=cap)
    if kv_format == "int8":
        return attend_with(q_THD, k_TKD, v_TKD, quantise)
    return hadamard(attend_with(hadamard(q_THD), hadamard(k_TKD), hadamard(v_TKD), quantise_4))


def _attend(
    q_THD: Floats,
    k_TKD: Floats,
    v_TKD: Floats,
    kept: Callable[[Floats], Quantised],
    *,
    scale: float,
    window: int | None,
    cap: float,
) -> Floats:
    tokens, heads, head_dim = q_THD.shape
    shape_KQT = (k_TKD.shape[1], heads // k_TKD.shape[1], tokens)
    q = _head_groups(q_THD.transpose(1, 0, 2).reshape(*shape_KQT, head_dim), quantise)
    factor = scale * (2 * LOG2E / cap) if cap else scale * LOG2E
    q = [Quantised(part.values, part.scale * F32(factor)) for part in q]
    k, v = _head_groups(k_TKD.transpose(1, 0, 2), kept), kept(v_TKD.transpose(1, 0, 2))
    total = Softmax.empty(shape_KQT, head_dim)
    begun = np.zeros(shape_KQT, bool)
    for first in range(0, tokens, SEGMENT_PAGES * PAGE_TOKENS):
        segment = Softmax.empty(shape_KQT, head_dim)
        seen = np.zeros(shape_KQT, bool)
        for start in range(first, min(first + SEGMENT_PAGES * PAGE_TOKENS, tokens), PAGE_TOKENS):
            keys = np.arange(start, min(start + PAGE_TOKENS, tokens))
            mask_TP = visible(np.arange(tokens), keys, window)
            s = _scores(q, [_take(part, keys) for part in k])
            s = softcap(s, cap * LOG2E) if cap else s
            segment = _page(s, _take(v, keys), mask_TP, segment)
            seen |= mask_TP.any(axis=1)
        merged = total.merge(segment.m, segment.l, segment.O).where(begun, segment)
        total = merged.where(seen, total)
        begun |= seen
    o = total.O * (F32(1) / total.l)[..., None]
    return o.reshape(heads, tokens, head_dim).transpose(1, 0, 2)


def _head_groups(x: Floats, kept: Callable[[Floats], Quantised]) -> list[Quantised]:
    """Runs of 32 elements of a head, the last of which may be shorter, quantised apart."""
    return [kept(x[..., first : first + HEAD_GROUP]) for first in range(0, x.shape[-1], HEAD_GROUP)]


def _take(heads: Quantised, keys: NDArray[np.intp]) -> Quantised:
    """Positions of a page, filled up with zeros to its full length."""
    missing = PAGE_TOKENS - len(keys)
    values = np.pad(heads.values[:, keys], ((0, 0), (0, missing), (0, 0)))
    return Quantised(values, np.pad(heads.scale[:, keys], ((0, 0), (0, missing))))


def _scores(q: list[Quantised], k: list[Quantised]) -> Floats:
    """`[K, Q, T, P]`, the groups of a head added in order."""
    s: Floats | None = None
    for q_part, k_part in zip(q, k, strict=True):
        dots_KQTP = q_part.values @ k_part.values[:, None].transpose(0, 1, 3, 2)
        part = dots_KQTP * k_part.scale[:, None, None, :]
        q_scale = np.broadcast_to(q_part.scale[..., None], part.shape)
        s = part * q_scale if s is None else fma(part, q_scale, s)
    assert s is not None
    return s


def _page(s: Floats, v: Quantised, mask_TP: NDArray[np.bool_], into: Softmax) -> Softmax:
    """One page, of scores `[K, Q, T, P]`, merged into a segment, for all heads.

    Queries that see none of it keep their bits.
    """
    mask = np.pad(mask_TP, ((0, 0), (0, PAGE_TOKENS - mask_TP.shape[1])))
    any_T = mask.any(axis=1)
    m = np.where(any_T, np.where(mask, s, -np.inf).max(axis=-1), F32(0)).astype(F32)
    e = np.where(mask, exp2(s - m[..., None]), F32(0))
    lanes = e.reshape(*e.shape[:-1], 4, 16)
    l = tree((lanes[..., 0, :] + lanes[..., 1, :]) + (lanes[..., 2, :] + lanes[..., 3, :]))  # noqa: E741
    p = e * v.scale[:, None, None, :]
    p_max = p.max(axis=-1)
    empty = p_max < F32(1e-30)
    inverse = np.where(empty, F32(0), F32(255) / np.where(empty, F32(1), p_max))
    p_scale = np.where(empty, F32(0), p_max / F32(255))
    u = np.rint(p * inverse[..., None])
    merged = into.merge(m, l, u @ v.values[:, None], p_scale)
    return merged.where(np.broadcast_to(any_T, m.shape), into)
