"""The same arithmetic in plain float32 over dequantised weights: what the quantised one is measured against.

Sums are in whatever order BLAS likes. The functions have the signatures of `reference_exact`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from pennyweight.native.reference_blocks import Floats

F32 = np.float32
_QUERY_CHUNK = 512  # queries whose scores are in memory at once


def linear(x_TN: Floats, weights_RN: Floats, *, fine: bool = False) -> Floats:  # noqa: ARG001
    return x_TN @ weights_RN.T


def embed(weights_RN: Floats, tokens: list[int], scale: float) -> Floats:
    return weights_RN[tokens] * F32(scale)


def rmsnorm(x_TN: Floats, weight_N: Floats, eps: float) -> Floats:
    mean = np.square(x_TN).mean(axis=-1, keepdims=True)
    return np.asarray(x_TN / np.sqrt(mean + F32(eps)) * weight_N)


def gate(activation: Literal["silu", "gelu_tanh"], g: Floats, u: Floats) -> Floats:
    inner = g if activation == "silu" else F32(1.5957691216) * (g + F32(0.044715) * g * g * g)
    # Beyond 88 float32's exponential overflows; the quotient is 0 either way.
    return np.asarray(g / (F32(1) + np.exp(np.minimum(-inner, F32(88)))) * u)


def softcap(x: Floats, cap: float) -> Floats:
    return np.asarray(F32(cap) * np.tanh(x / F32(cap)))


def logits(z: Floats, *, scale: float, cap: float) -> Floats:
    z = z * F32(scale)
    return softcap(z, cap) if cap else z


def add_scaled(x: Floats, y: Floats, scale: float | Floats) -> Floats:
    return x + y * np.asarray(scale, F32)


def expert_weights(z_TE: Floats, *, used: int, normalize: bool, scale: float) -> Floats:
    p = np.exp(z_TE - z_TE.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    unused = np.argsort(-p, axis=-1, kind="stable")[:, used:]
    np.put_along_axis(p, unused, F32(0), axis=-1)
    if normalize:
        p /= p.sum(axis=-1, keepdims=True)
    return np.asarray(p * F32(scale))


def rotate(x_THD: Floats, positions: range, frequencies: tuple[float, ...], magnitude: float = 1.0) -> Floats:
    angles = np.asarray(positions, np.float64)[:, None] * np.asarray(frequencies)
    factor = np.where(np.asarray(frequencies) == 0, 1.0, magnitude)
    cos, sin = ((turn(angles) * factor).astype(F32)[:, None] for turn in (np.cos, np.sin))
    x0, x1, rest = np.split(x_THD, [len(frequencies), 2 * len(frequencies)], axis=-1)
    return np.concatenate([x0 * cos - x1 * sin, x1 * cos + x0 * sin, rest], axis=-1)


def attend(
    q_THD: Floats,
    k_TKD: Floats,
    v_TKD: Floats,
    *,
    scale: float,
    window: int | None,
    cap: float = 0.0,
    kv_format: str = "int8",  # noqa: ARG001  keys and values stay floats
) -> Floats:
    tokens, heads, head_dim = q_THD.shape
    group = heads // k_TKD.shape[1]
    k_KDT, v_KTD = k_TKD.transpose(1, 2, 0), v_TKD.transpose(1, 0, 2)
    out_THD = np.empty((tokens, heads, head_dim), F32)
    for start in range(0, tokens, _QUERY_CHUNK):
        queries = np.arange(start, min(start + _QUERY_CHUNK, tokens))
        distance = queries[:, None] - np.arange(tokens)[None, :]
        mask = distance < 0 if window is None else (distance < 0) | (distance >= window)
        for head in range(heads):
            s = (q_THD[queries, head] @ k_KDT[head // group]) * F32(scale)
            s = softcap(s, cap) if cap else s
            s[mask] = -np.inf
            p = np.exp(s - s.max(axis=-1, keepdims=True))
            p /= p.sum(axis=-1, keepdims=True)
            out_THD[queries, head] = p @ v_KTD[head // group]
    return out_THD
