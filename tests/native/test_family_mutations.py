"""What other families add can fail too: forgotten or moved, it parts reference and compiled decoder."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pennyweight.native import reference_exact
from pennyweight.native.reference import ReferenceDecoder
from tests.native import tiny_decoders
from tests.native.native_decoders import Driver
from tests.native.tiny_decoders import random_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.models.spec import ModelSpec
    from tests.native.tiny_decoders import TinyDecoder

DECODERS = {
    "olmo": tiny_decoders.olmo(("Q8_0", "Q4_1")),
    "capped": tiny_decoders.capped(("Q8_0", "Q5_0")),
    "experts": tiny_decoders.experts(("Q8_0", "F32")),
}
F32 = np.float32


@cache
def compiled(name: str) -> np.ndarray:
    return Driver(DECODERS[name]).score(tokens(DECODERS[name]))


def tokens(tiny: TinyDecoder) -> list[int]:
    return random_tokens(tiny.spec, 90)


def agrees(name: str, spec: ModelSpec, tensors: dict[str, Any]) -> bool:
    theirs = ReferenceDecoder(spec, tensors).logits(tokens(DECODERS[name]))
    limit = 1e-5 * np.abs(theirs).max(axis=-1, keepdims=True)
    return bool((np.abs(compiled(name) - theirs) <= limit).all())


def _rope(spec: ModelSpec, layer: int, rope: int | None) -> ModelSpec:
    layers = list(spec.layers)
    layers[layer] = replace(layers[layer], rope=rope)
    return replace(spec, layers=tuple(layers))


def _stretched(spec: ModelSpec, magnitude: float) -> ModelSpec:
    return replace(spec, ropes=(spec.ropes[0], replace(spec.ropes[1], magnitude=magnitude)))


def _experts(spec: ModelSpec, **changes: Any) -> ModelSpec:
    assert spec.experts is not None
    return replace(spec, experts=replace(spec.experts, **changes))


def _turning(spec: ModelSpec) -> ModelSpec:
    """The pairs that stand still turn, by almost nothing, and so are stretched."""
    frequencies = tuple(f or 1e-12 for f in spec.ropes[1].inverse_frequencies)
    return replace(spec, ropes=(spec.ropes[0], replace(spec.ropes[1], inverse_frequencies=frequencies)))


SPECS: dict[str, tuple[str, Callable[[ModelSpec], ModelSpec]]] = {
    "residual scale": ("olmo", lambda s: replace(s, residual_scale=s.residual_scale * 1.001)),
    "rotation where there is none": ("olmo", lambda s: _rope(s, 1, 0)),
    "rotation forgotten": ("olmo", lambda s: _rope(s, 2, None)),
    "score cap": ("capped", lambda s: replace(s, attention_softcap=3.01)),
    "score cap forgotten": ("capped", lambda s: replace(s, attention_softcap=0.0)),
    "logit cap": ("capped", lambda s: replace(s, logit_softcap=2.001)),
    "logit cap forgotten": ("capped", lambda s: replace(s, logit_softcap=0.0)),
    "logit scale": ("capped", lambda s: replace(s, logit_scale=0.7501)),
    "more experts used": ("experts", lambda s: _experts(s, used=3)),
    "fewer experts used": ("experts", lambda s: _experts(s, used=1)),
    "weights of experts not normalised": ("experts", lambda s: _experts(s, normalize=False)),
    "scale of experts": ("experts", lambda s: _experts(s, scale=1.01)),
    "rope magnitude": ("capped", lambda s: _stretched(s, 1.251)),
    "rope magnitude forgotten": ("capped", lambda s: _stretched(s, 1.0)),
    "what does not turn is stretched": ("capped", _turning),
}


def _without(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda tensors: {key: value for key, value in tensors.items() if key != name}


def _rolled(name: str, by: int = 1) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Entries of a vector moved round."""
    return lambda tensors: tensors | {name: np.roll(tensors[name], by)}


def _swapped(one: str, other: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda tensors: tensors | {one: tensors[other], other: tensors[one]}


def _per_head(tensors: dict[str, Any]) -> dict[str, Any]:
    """Queries and keys normed head by head."""
    return tensors | {
        name: tensors[name][:32] for name in ("layers.0.query_norm", "layers.0.key_norm") if name in tensors
    }


def _prenormed(tensors: dict[str, Any]) -> dict[str, Any]:
    ones = np.ones(len(tensors["final_norm"]), F32)
    return tensors | {"layers.1.attention_norm": ones, "layers.1.feed_forward_norm": ones}


TENSORS: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "query bias forgotten": ("olmo", _without("layers.0.query_bias")),
    "key bias moved": ("olmo", _rolled("layers.0.key_bias")),
    "value bias moved": ("olmo", _rolled("layers.2.value_bias")),
    "output bias forgotten": ("olmo", _without("layers.1.output_bias")),
    "query bias of the next head": ("capped", _rolled("layers.1.query_bias", 64)),
    "key bias without a norm": ("capped", _rolled("layers.1.key_bias")),
    "output bias moved": ("capped", _rolled("layers.1.output_bias")),
    "norms of heads": ("olmo", _per_head),
    "query norm of the next head": ("olmo", _rolled("layers.0.query_norm", 32)),
    "norms before": ("olmo", _prenormed),
    "experts swapped": ("experts", _swapped("layers.0.experts.1.down", "layers.0.experts.2.down")),
    "gate and up of an expert": ("experts", _swapped("layers.1.experts.0.gate", "layers.1.experts.0.up")),
    "router of another layer": ("experts", _swapped("layers.0.router", "layers.1.router")),
}


def _late_cap(z: np.ndarray, *, scale: float, cap: float) -> np.ndarray:
    """The scale after the cap."""
    return np.asarray(RIGHT_LOGITS(z, scale=1.0, cap=cap) * F32(scale))


RIGHT_LOGITS = reference_exact.logits


@pytest.mark.parametrize("name", DECODERS)
def test_the_truth_agrees(name: str) -> None:
    assert agrees(name, DECODERS[name].spec, DECODERS[name].tensors())


@pytest.mark.parametrize(("name", "mutate"), SPECS.values(), ids=SPECS)
def test_specs(name: str, mutate: Callable[[ModelSpec], ModelSpec]) -> None:
    assert not agrees(name, mutate(DECODERS[name].spec), DECODERS[name].tensors())


@pytest.mark.parametrize(("name", "mutate"), TENSORS.values(), ids=TENSORS)
def test_tensors(name: str, mutate: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    assert not agrees(name, DECODERS[name].spec, mutate(DECODERS[name].tensors()))


def test_a_cap_before_the_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_exact, "logits", _late_cap)
    assert not agrees("capped", DECODERS["capped"].spec, DECODERS["capped"].tensors())


@pytest.mark.parametrize("last", [False, True])
def test_of_equal_experts_the_first(monkeypatch: pytest.MonkeyPatch, *, last: bool) -> None:
    """A router whose rows are all one row: only their order says which experts are used."""
    tiny = DECODERS["experts"]
    router = tiny.matrices["layers.0.router"]
    rows = router.data[: len(router.data) // router.rows] * router.rows
    equal = replace(tiny, matrices=dict(tiny.matrices) | {"layers.0.router": replace(router, data=rows)})
    right = reference_exact.chosen_experts
    if last:
        monkeypatch.setattr(
            reference_exact, "chosen_experts", lambda z, used: right(z[:, ::-1], used)[:, ::-1]
        )
    theirs = ReferenceDecoder(tiny.spec, equal.tensors()).logits(tokens(tiny))
    assert np.array_equal(Driver(equal).score(tokens(tiny)), theirs) != last
