"""The decoder in NumPy, the oracle of the native tests: one pass over a token list, no cache, no threads.

`exact` does the operations of docs/numerics.md in their order and agrees with the compiled kernels bit for
bit; `float32` computes the same model from dequantised weights in plain floats and says how good `exact` is.
The sampler is in `reference_sampler`. Only tests and benchmarks import this: serving needs no NumPy.

Shape letters: T tokens, N model width, H query heads, K key heads, D head width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from pennyweight.native import reference_exact, reference_float32
from pennyweight.native.reference_blocks import Floats, Weights, dequantise

if TYPE_CHECKING:
    from pennyweight.native.reference_adapter import LowRank

Mode = Literal["exact", "float32"]


class Rope(Protocol):
    @property
    def inverse_frequencies(self) -> tuple[float, ...]: ...
    @property
    def magnitude(self) -> float: ...


class Layer(Protocol):
    @property
    def window(self) -> int | None: ...
    @property
    def rope(self) -> int | None: ...


class Experts(Protocol):
    @property
    def count(self) -> int: ...
    @property
    def used(self) -> int: ...
    @property
    def normalize(self) -> bool: ...
    @property
    def scale(self) -> float: ...


class Spec(Protocol):
    """What is read of a `ModelSpec`, spelled here because rooms above may not be imported."""

    @property
    def num_heads(self) -> int: ...
    @property
    def num_kv_heads(self) -> int: ...
    @property
    def head_dim(self) -> int: ...
    @property
    def norm_eps(self) -> float: ...
    @property
    def activation(self) -> Literal["silu", "gelu_tanh"]: ...
    @property
    def layers(self) -> Sequence[Layer]: ...
    @property
    def ropes(self) -> Sequence[Rope]: ...
    @property
    def attention_scale(self) -> float: ...
    @property
    def embedding_scale(self) -> float: ...
    @property
    def attention_softcap(self) -> float: ...
    @property
    def logit_softcap(self) -> float: ...
    @property
    def residual_scale(self) -> float: ...
    @property
    def logit_scale(self) -> float: ...
    @property
    def experts(self) -> Experts | None: ...
    @property
    def kv_format(self) -> str: ...


Tensors = Mapping[str, Weights | Floats]
"""`embedding`, `final_norm`, optionally `head`, and `layers.<i>.<part>`, parts named as in `LayerWeights`.
Matrices are `Weights` (`[out, in]`, queries and keys in rotary order), norms and biases float32 vectors. A
layer has the norms and biases it has tensors for; a query norm as long as all heads together is one over them
all. The matrices of expert `e` are `layers.<i>.experts.<e>.<part>`."""


class ReferenceDecoder:
    """Logits of a token list that starts at position 0."""

    def __init__(
        self,
        spec: Spec,
        tensors: Tensors,
        *,
        mode: Mode = "exact",
        adapter: Mapping[str, LowRank] | None = None,
    ) -> None:
        """`adapter` adds to the matrices it names; in float32 it is merged into them."""
        self.spec = spec
        self.arithmetic: Any = {"exact": reference_exact, "float32": reference_float32}[mode]
        self.adapter = adapter or {}
        self.tensors: Mapping[str, Any] = tensors if mode == "exact" else self._merged(tensors)

    def logits(self, tokens: Sequence[int], *, embeddings: Mapping[int, Floats] | None = None) -> Floats:
        """`[T, V]`; `embeddings[i]` replaces the embedding of position `i`, unscaled."""
        return self.head(self.hidden(tokens, embeddings=embeddings))

    def hidden(self, tokens: Sequence[int], *, embeddings: Mapping[int, Floats] | None = None) -> Floats:
        """`[T, N]` after the final norm."""
        x_TN = self.arithmetic.embed(self.tensors["embedding"], list(tokens), self.spec.embedding_scale)
        for position, vector in (embeddings or {}).items():
            x_TN[position] = vector
        for index in range(len(self.spec.layers)):
            x_TN = self._feed_forward(index, self._attention(index, x_TN))
        return self._norm("final_norm", x_TN)

    def head(self, hidden_TN: Floats) -> Floats:
        """`[T, V]` from `hidden`."""
        name = "head" if "head" in self.tensors else "embedding"
        z_TV = self._linear(name, hidden_TN, fine=True)
        finished = self.arithmetic.logits(z_TV, scale=self.spec.logit_scale, cap=self.spec.logit_softcap)
        return np.asarray(finished)

    def _attention(self, index: int, x_TN: Floats) -> Floats:
        spec, layer, part = self.spec, self.spec.layers[index], f"layers.{index}."
        a_TN = self._optional_norm(part + "attention_norm", x_TN)
        q_THD = self._rotated(layer, self._heads(part + "query", a_TN, spec.num_heads))
        k_TKD = self._rotated(layer, self._heads(part + "key", a_TN, spec.num_kv_heads))
        v_TKD = self._heads(part + "value", a_TN, spec.num_kv_heads)
        o_THD = self.arithmetic.attend(
            q_THD,
            k_TKD,
            v_TKD,
            scale=spec.attention_scale,
            window=layer.window,
            cap=spec.attention_softcap,
            kv_format=spec.kv_format,
        )
        o_TN = self._projection(part + "output", o_THD.reshape(len(x_TN), -1))
        return self._residual(x_TN, self._optional_norm(part + "post_attention_norm", o_TN))

    def _feed_forward(self, index: int, x_TN: Floats) -> Floats:
        part = f"layers.{index}."
        b_TN = self._optional_norm(part + "feed_forward_norm", x_TN)
        experts = self.spec.experts
        down_TN = self._gated(part, b_TN) if experts is None else self._experts(experts, part, b_TN)
        return self._residual(x_TN, self._optional_norm(part + "post_feed_forward_norm", down_TN))

    def _gated(self, part: str, x_TN: Floats) -> Floats:
        gate, up = self._linear(part + "gate", x_TN), self._linear(part + "up", x_TN)
        hidden_TF = self.arithmetic.gate(self.spec.activation, gate, up)
        return self._linear(part + "down", hidden_TF, fine=True)

    def _experts(self, experts: Experts, part: str, x_TN: Floats) -> Floats:
        """The experts of each token in ascending order, weighted and added."""
        weights_TE = self.arithmetic.expert_weights(
            self._linear(part + "router", x_TN),
            used=experts.used,
            normalize=experts.normalize,
            scale=experts.scale,
        )
        total_TN = np.zeros_like(x_TN)
        for index in range(experts.count):
            rows = np.flatnonzero(weights_TE[:, index])
            if len(rows):
                y_RN = self._gated(f"{part}experts.{index}.", x_TN[rows])
                scale = weights_TE[rows, index, None]
                total_TN[rows] = self.arithmetic.add_scaled(total_TN[rows], y_RN, scale)
        return total_TN

    def _residual(self, x_TN: Floats, y_TN: Floats) -> Floats:
        return np.asarray(self.arithmetic.add_scaled(x_TN, y_TN, self.spec.residual_scale))

    def _rotated(self, layer: Layer, x_THD: Floats) -> Floats:
        if layer.rope is None:
            return x_THD
        rope = self.spec.ropes[layer.rope]
        positions = range(len(x_THD))
        rotated = self.arithmetic.rotate(x_THD, positions, rope.inverse_frequencies, rope.magnitude)
        return np.asarray(rotated)

    def _merged(self, tensors: Tensors) -> Mapping[str, Floats]:
        floats = {k: dequantise(t) if isinstance(t, Weights) else t for k, t in tensors.items()}
        merged = {name: floats[name] + low_rank.merged() for name, low_rank in self.adapter.items()}
        self.adapter = {}
        return floats | merged

    def _linear(self, name: str, x_TN: Floats, *, fine: bool = False) -> Floats:
        y = np.asarray(self.arithmetic.linear(x_TN, self.tensors[name], fine=fine))
        return y + self.adapter[name].exact(x_TN, fine=fine) if name in self.adapter else y

    def _projection(self, name: str, x_TN: Floats, *, fine: bool = False) -> Floats:
        """A linear layer and, if it has one, its bias."""
        y = self._linear(name, x_TN, fine=fine)
        return y + self.tensors[name + "_bias"] if name + "_bias" in self.tensors else y

    def _heads(self, name: str, x_TN: Floats, count: int) -> Floats:
        """`[T, count, D]`, normed head by head or all together, as long as the norm's weight is."""
        y = self._projection(name, x_TN, fine=True)
        heads = (len(y), count, self.spec.head_dim)
        if name + "_norm" not in self.tensors:
            return y.reshape(heads)
        size = len(self.tensors[name + "_norm"])
        return self._norm(name + "_norm", y.reshape(len(y), -1, size)).reshape(heads)

    def _norm(self, name: str, x: Floats) -> Floats:
        return np.asarray(self.arithmetic.rmsnorm(x, self.tensors[name], self.spec.norm_eps))

    def _optional_norm(self, name: str, x: Floats) -> Floats:
        return self._norm(name, x) if name in self.tensors else x
