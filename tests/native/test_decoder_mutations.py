"""The parity tests can fail: each small lie told to the reference must part it from the compiled decoder."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pennyweight.models.spec import RopeSpec
from pennyweight.native import reference_exact
from pennyweight.native.reference import ReferenceDecoder
from tests.native import tiny_decoders
from tests.native.native_decoders import Driver
from tests.native.tiny_decoders import random_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.models.spec import ModelSpec

TINY = tiny_decoders.gemma3(("Q4_1", "Q8_0", "Q5_0"))
TOKENS = random_tokens(TINY.spec, 100)
F32 = np.float32


@cache
def compiled() -> np.ndarray:
    return Driver(TINY).score(TOKENS)


def agrees(spec: ModelSpec, tensors: dict[str, Any]) -> bool:
    theirs = ReferenceDecoder(spec, tensors).logits(TOKENS)
    limit = 1e-5 * np.abs(theirs).max(axis=-1, keepdims=True)
    return bool((np.abs(compiled() - theirs) <= limit).all())


def _layer(spec: ModelSpec, index: int, **changes: Any) -> ModelSpec:
    layers = list(spec.layers)
    layers[index] = replace(layers[index], **changes)
    return replace(spec, layers=tuple(layers))


def _frequency(spec: ModelSpec, rope: int, index: int) -> ModelSpec:
    """The frequency after the right one."""
    ropes = [list(rope.inverse_frequencies) for rope in spec.ropes]
    ropes[rope][index] = ropes[rope][index + 1]
    return replace(spec, ropes=tuple(RopeSpec(inverse_frequencies=tuple(values)) for values in ropes))


SPECS: dict[str, Callable[[ModelSpec], ModelSpec]] = {
    "window one shorter": lambda spec: _layer(spec, 0, window=69),
    "window one longer": lambda spec: _layer(spec, 2, window=71),
    "window forgotten": lambda spec: _layer(spec, 0, window=None),
    "window where there is none": lambda spec: _layer(spec, 1, window=90),
    "rotary base of another layer": lambda spec: _layer(spec, 1, rope=0),
    "rotary frequency of the neighbour": lambda spec: _frequency(spec, 0, 20),
    "softmax scale": lambda spec: replace(spec, attention_scale=spec.attention_scale * 1.001),
    "embedding scale": lambda spec: replace(spec, embedding_scale=spec.embedding_scale * 1.001),
    "norm epsilon": lambda spec: replace(spec, norm_eps=spec.norm_eps + 1e-4),
    "activation": lambda spec: replace(spec, activation="silu"),
}


def _swap(tensors: dict[str, Any], one: str, other: str) -> dict[str, Any]:
    return tensors | {one: tensors[other], other: tensors[one]}


def _without(tensors: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in tensors.items() if key != name}


def _nudge(tensors: dict[str, Any], name: str) -> dict[str, Any]:
    """One entry of a vector off by a thousandth."""
    vector = tensors[name].copy()
    vector[3] *= F32(1.001)
    return tensors | {name: vector}


def _roll(tensors: dict[str, Any], name: str, by: int) -> dict[str, Any]:
    """Rows of a matrix moved round."""
    weights = tensors[name]
    return tensors | {name: reference_exact.take_rows(weights, np.roll(np.arange(weights.rows), by))}


TENSORS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "gate and up swapped": lambda t: _swap(t, "layers.1.gate", "layers.1.up"),
    "key and value swapped": lambda t: _swap(t, "layers.1.key", "layers.1.value"),
    "layers swapped": lambda t: _swap(t, "layers.0.down", "layers.2.down"),
    "the two norms swapped": lambda t: _swap(t, "layers.0.attention_norm", "layers.0.feed_forward_norm"),
    "query and key norms swapped": lambda t: _swap(t, "layers.0.query_norm", "layers.0.key_norm"),
    "post-norms swapped": lambda t: _swap(
        t, "layers.1.post_attention_norm", "layers.1.post_feed_forward_norm"
    ),
    "query norm forgotten": lambda t: _without(t, "layers.2.query_norm"),
    "post-norm forgotten": lambda t: _without(t, "layers.2.post_attention_norm"),
    "query norm weight": lambda t: _nudge(t, "layers.1.query_norm"),
    "key norm weight": lambda t: _nudge(t, "layers.2.key_norm"),
    "attention norm weight": lambda t: _nudge(t, "layers.0.attention_norm"),
    "post-norm weight": lambda t: _nudge(t, "layers.1.post_feed_forward_norm"),
    "final norm weight": lambda t: _nudge(t, "final_norm"),
    "query rows moved by one": lambda t: _roll(t, "layers.1.query", 1),
    "query heads moved by one": lambda t: _roll(t, "layers.1.query", 64),
    "value rows moved by one": lambda t: _roll(t, "layers.0.value", 1),
}

RIGHT = {
    name: getattr(reference_exact, name) for name in ("visible", "rotate", "quantise", "rmsnorm", "attend")
}


def _is_keys(x: np.ndarray) -> bool:
    return x.ndim == 3 and x.shape[1] == TINY.spec.num_kv_heads


def _late_keys(x: np.ndarray, positions: range, *rope: Any) -> np.ndarray:
    return RIGHT["rotate"](x, range(1, len(positions) + 1) if _is_keys(x) else positions, *rope)


def _backwards(x: np.ndarray, positions: range, frequencies: tuple[float, ...], *more: Any) -> np.ndarray:
    last = -frequencies[-1] if _is_keys(x) else frequencies[-1]
    return RIGHT["rotate"](x, positions, (*frequencies[:-1], last), *more)


def _neighbours(x: np.ndarray, positions: range, *rope: Any) -> np.ndarray:
    """Turn `2 i` with `2 i + 1` in place of `i` with `i + half`."""
    return RIGHT["rotate"](np.concatenate([x[..., ::2], x[..., 1::2]], axis=-1), positions, *rope)


def _one_less(t: np.ndarray, k: np.ndarray, window: int | None) -> np.ndarray:
    return (RIGHT["visible"](t, k, window) & (t[:, None] > k)) | (t[:, None] == k[0])


def _wrong_scale(x: np.ndarray) -> reference_exact.Quantised:
    """Keys and values (only they come as one head of all tokens) a little too large."""
    right = RIGHT["quantise"](x)
    return replace(right, scale=right.scale * F32(1.001)) if x.shape[:2] == (1, len(TOKENS)) else right


def _scale_before(x: np.ndarray) -> reference_exact.Quantised:
    """Keys and values with the scale of the position before."""
    right = RIGHT["quantise"](x)
    return replace(right, scale=np.roll(right.scale, 1, axis=1)) if x.shape[:2] == (1, len(TOKENS)) else right


FUNCTIONS: dict[str, tuple[str, Callable[..., Any]]] = {
    "mask sees one ahead": ("visible", lambda t, k, w: RIGHT["visible"](t + 1, k, w)),
    "mask sees one less": ("visible", _one_less),
    "keys one position late": ("rotate", _late_keys),
    "last frequency backwards": ("rotate", _backwards),
    "pairs of neighbours": ("rotate", _neighbours),
    "scales of keys and values": ("quantise", _wrong_scale),
    "scale of the position before": ("quantise", _scale_before),
    "norms too large": ("rmsnorm", lambda x, w, e: RIGHT["rmsnorm"](x, w, e) * F32(1.0001)),
    "query heads backwards": ("attend", lambda q, k, v, **more: RIGHT["attend"](q[:, ::-1], k, v, **more)),
}


def test_the_truth_agrees() -> None:
    assert agrees(TINY.spec, TINY.tensors())


@pytest.mark.parametrize("mutate", SPECS.values(), ids=SPECS)
def test_specs(mutate: Callable[[ModelSpec], ModelSpec]) -> None:
    assert not agrees(mutate(TINY.spec), TINY.tensors())


@pytest.mark.parametrize("mutate", TENSORS.values(), ids=TENSORS)
def test_tensors(mutate: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    assert not agrees(TINY.spec, mutate(TINY.tensors()))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_exact, *FUNCTIONS[name])
    assert not agrees(TINY.spec, TINY.tensors())
