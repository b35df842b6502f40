"""The encoder in NumPy, the oracle of its tests: one text at a time, no threads.

`exact` does the operations of docs/numerics.md ("Encoder") in their order and agrees with the compiled
kernels bit for bit; `float32` computes the same model from dequantised weights in plain floats. Only tests
and benchmarks import this.

Shape letters: T tokens, N model width, H heads, D head width, F feed-forward width, R rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pennyweight.native.reference_blocks import Floats, dequantise, take_rows
from pennyweight.native.reference_exact import F32, LOG2E, exp2, fma, linear, tree

if TYPE_CHECKING:
    from collections.abc import Sequence

Mode = Literal["exact", "float32"]
Tensors = Mapping[str, Any]
"""`embedding` (`Weights`), `positions`, `token_type`, `embedding_norm.{weight,bias}`, and per layer
`layers.<i>.<part>`: query, key, value, output, up, down with `.weight` (`Weights`, `[out, in]`) and `.bias`,
attention_norm and output_norm with `.weight` and `.bias`."""

_TAIL = (0.530702715, -0.726576014, 0.710706871, -0.142248368, 0.127414796)


class ReferenceEncoder:
    """Pooled states of texts."""

    def __init__(
        self,
        tensors: Tensors,
        *,
        num_layers: int,
        num_heads: int,
        norm_eps: float,
        pooling: Literal["mean", "first"] = "mean",
        mode: Mode = "exact",
    ) -> None:
        self.num_layers, self.num_heads = num_layers, num_heads
        self.norm_eps, self.pooling, self.mode = norm_eps, pooling, mode
        self.tensors = tensors

    def encode(self, tokens: Sequence[int]) -> Floats:
        """`[N]`: the mean of the tokens' states, or the first one's; not normalised."""
        x_TN = self._embed(tokens)
        for index in range(self.num_layers):
            x_TN = self._layer(f"layers.{index}.", x_TN)
        if self.pooling == "first":
            return np.asarray(x_TN[0])
        total = x_TN[0]
        for row in x_TN[1:]:
            total = total + row
        return np.asarray(total / F32(len(x_TN)))

    def _embed(self, tokens: Sequence[int]) -> Floats:
        words = dequantise(take_rows(self.tensors["embedding"], list(tokens)))
        table = self.tensors["positions"][: len(tokens)] + self.tensors["token_type"]
        return self._norm("embedding_norm", words + table)

    def _layer(self, part: str, x_TN: Floats) -> Floats:
        q, k, v = (self._affine(part + name, x_TN) for name in ("query", "key", "value"))
        o_TN = self._attend(q, k, v)
        x_TN = self._norm(part + "attention_norm", self._affine(part + "output", o_TN, onto=x_TN))
        hidden_TF = self._gelu(self._affine(part + "up", x_TN))
        return self._norm(part + "output_norm", self._affine(part + "down", hidden_TF, onto=x_TN))

    def _affine(self, name: str, x_TN: Floats, *, onto: Floats | None = None) -> Floats:
        """The product is added to the bias, and that to `onto`: one sum of three."""
        weights, bias = self.tensors[name + ".weight"], self.tensors[name + ".bias"]
        start = bias if onto is None else onto + bias
        product = linear(x_TN, weights, fine=True) if self.mode == "exact" else x_TN @ dequantise(weights).T
        return np.asarray(start + product)

    def _norm(self, name: str, x_TN: Floats) -> Floats:
        weight, bias = self.tensors[name + ".weight"], self.tensors[name + ".bias"]
        if self.mode == "float32":
            centred = x_TN - x_TN.mean(axis=-1, keepdims=True)
            deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + F32(self.norm_eps))
            return np.asarray(centred / deviation * weight + bias)
        return layernorm(x_TN, weight, bias, self.norm_eps)

    def _gelu(self, x: Floats) -> Floats:
        if self.mode == "float32":
            erfc = np.vectorize(math.erfc, otypes=[np.float64])
            return np.asarray(0.5 * x * erfc(-x / math.sqrt(2.0)), F32)
        return gelu(x)

    def _attend(self, q_TN: Floats, k_TN: Floats, v_TN: Floats) -> Floats:
        head_dim = q_TN.shape[1] // self.num_heads
        heads = []
        for head in range(self.num_heads):
            columns = slice(head * head_dim, (head + 1) * head_dim)
            q_TD, k_TD, v_TD = q_TN[:, columns], k_TN[:, columns], v_TN[:, columns]
            if self.mode == "exact":
                heads.append(attend(q_TD, k_TD, v_TD))
            else:
                scores = q_TD @ k_TD.T / F32(math.sqrt(head_dim))
                p = np.exp(scores - scores.max(axis=1, keepdims=True))
                heads.append(p / p.sum(axis=1, keepdims=True) @ v_TD)
        return np.concatenate(heads, axis=1)


def layernorm(x_TN: Floats, weight_N: Floats, bias_N: Floats, eps: float) -> Floats:
    count = x_TN.shape[-1]
    sums = squares = np.zeros((*x_TN.shape[:-1], 16), F32)
    for start in range(0, count, 16):
        sums = sums + x_TN[..., start : start + 16]
    centred = x_TN - (tree(sums) / F32(count))[..., None]
    for start in range(0, count, 16):
        part = centred[..., start : start + 16]
        squares = fma(part, part, squares)
    r = F32(1) / np.sqrt(tree(squares) / F32(count) + F32(eps))
    weight, bias = (np.broadcast_to(vector, x_TN.shape) for vector in (weight_N, bias_N))
    return fma(centred * r[..., None], weight, bias)


def gelu(x: Floats) -> Floats:
    one = np.ones_like(x)
    t = F32(1) / fma(np.abs(x), np.full_like(x, 0.231641888), one)
    p = np.full_like(x, _TAIL[0])
    for coefficient in _TAIL[1:]:
        p = fma(p, t, np.full_like(x, coefficient))
    tail = (p * t) * exp2((x * x) * F32(-0.721347520))
    return np.asarray(x * np.where(x >= 0, F32(1) - tail, tail))


def attend(q_TD: Floats, k_TD: Floats, v_TD: Floats) -> Floats:
    """Every query sees every key."""
    tokens, head_dim = q_TD.shape
    s_TT = np.zeros((tokens, tokens), F32)
    for d in range(head_dim):
        s_TT = fma(q_TD[:, None, d], k_TD[None, :, d], s_TT)
    factor = F32(LOG2E / math.sqrt(head_dim))
    p_TT = exp2((s_TT - s_TT.max(axis=1, keepdims=True)) * factor)
    total = np.zeros(tokens, F32)
    o_TD = np.zeros((tokens, head_dim), F32)
    for j in range(tokens):
        total = total + p_TT[:, j]
        o_TD = fma(p_TT[:, j, None], v_TD[None, j], o_TD)
    return np.asarray(o_TD * (F32(1) / total)[:, None])
