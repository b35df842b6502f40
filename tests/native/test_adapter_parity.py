"""Adapters in the compiled decoder against the reference, against merged weights, and against each other."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pennyweight.native import _native
from pennyweight.native.reference import ReferenceDecoder
from pennyweight.native.reference_adapter import LowRank
from tests.native import tiny_decoders
from tests.native.adapters import ATTENTION, native_adapter, random_adapter
from tests.native.agreement import divergence
from tests.native.native_decoders import TARGETS, Driver, all_logits, native_model, sampled
from tests.native.tiny_decoders import random_tokens

if TYPE_CHECKING:
    from tests.native.tiny_decoders import TinyDecoder

same = np.testing.assert_array_equal


@cache
def decoders() -> dict[str, tuple[TinyDecoder, dict[str, LowRank]]]:
    """Decoders of every shape the step knows, each with an adapter."""
    llama = tiny_decoders.llama(("Q4_1", "Q8_0"))
    gemma = tiny_decoders.gemma3(("Q4_K", "Q6_K", "F16"))
    olmo = tiny_decoders.olmo(("Q8_0", "F16"))
    odd = tiny_decoders.llama(("F32",), d_model=52, num_heads=5, num_kv_heads=1, head_dim=22, d_ff=101)
    experts = tiny_decoders.experts(("Q8_0",))
    return {
        "llama": (llama, random_adapter(llama, rank=16)),
        "gemma3": (gemma, random_adapter(gemma, rank=8)),
        "olmo": (olmo, random_adapter(olmo, rank=33)),
        "odd": (odd, random_adapter(odd, rank=5)),
        "experts": (experts, random_adapter(experts, rank=16, parts=ATTENTION)),
        "one matrix": (llama, random_adapter(llama, rank=1, parts=("value",))),
    }


@cache
def case(name: str) -> tuple[list[int], np.ndarray]:
    """Tokens and the reference's logits."""
    tiny, adapter = decoders()[name]
    tokens = random_tokens(tiny.spec, 70)
    return tokens, ReferenceDecoder(tiny.spec, tiny.tensors(), adapter=adapter).logits(tokens)


CASES = [(TARGETS[0], name) for name in decoders()] + [(target, "llama") for target in TARGETS[1:]]


@pytest.mark.parametrize(("target", "name"), CASES, indirect=["target"])
def test_logits_are_exact(target: str, name: str) -> None:
    tiny, adapter = decoders()[name]
    tokens, expected = case(name)
    assert _native.active_target() == target
    model = native_model(tiny)
    driver = Driver(model, num_threads=2, vocab_size=tiny.spec.vocab_size)
    driver.run(all_logits(tokens, 0, driver.pages(70), adapter=native_adapter(tiny, adapter, model=model)))
    same(driver.logits(), expected)


@pytest.mark.parametrize("name", decoders())
def test_close_to_merged_weights(name: str) -> None:
    """What the arithmetic adds to the error is little beside what it is without an adapter."""
    tiny, adapter = decoders()[name]
    tokens, exact = case(name)
    base = ReferenceDecoder(tiny.spec, tiny.tensors()).logits(tokens)
    base_floats = ReferenceDecoder(tiny.spec, tiny.tensors(), mode="float32").logits(tokens)
    merged = ReferenceDecoder(tiny.spec, tiny.tensors(), mode="float32", adapter=adapter).logits(tokens)
    assert divergence(merged, exact) < 0.002 + 2 * divergence(base_floats, base)
    assert divergence(merged, base) > 10 * divergence(merged, exact)  # the adapter does something


def test_every_matrix_counts() -> None:
    """Leaving any one product of an adapter out changes the logits."""
    tiny, adapter = decoders()["llama"]
    tokens, expected = case("llama")
    model = native_model(tiny)
    driver = Driver(model, vocab_size=tiny.spec.vocab_size)
    pages = driver.pages(70)
    for name in adapter:
        rest = {other: low_rank for other, low_rank in adapter.items() if other != name}
        driver.run(all_logits(tokens, 0, pages, adapter=native_adapter(tiny, rest, model=model)))
        assert not np.array_equal(driver.logits(), expected), name


def test_zeros_change_nothing() -> None:
    tiny, adapter = decoders()["gemma3"]
    zero = {n: LowRank(down_RN=a.down_RN, up_MR=np.zeros_like(a.up_MR)) for n, a in adapter.items()}
    tokens, model = random_tokens(tiny.spec, 70), native_model(tiny)
    driver = Driver(model, vocab_size=tiny.spec.vocab_size)
    base = driver.score(tokens)
    driver.run(all_logits(tokens, 0, driver.pages(70), adapter=native_adapter(tiny, zero, model=model)))
    same(driver.logits(), base)


def test_many_adapters_share_a_step() -> None:
    """Prompts and single tokens with three adapters and without one, in no order: each row as alone."""
    tiny, _ = decoders()["llama"]
    model = native_model(tiny)
    made = [
        native_adapter(tiny, random_adapter(tiny, rank=rank, seed=rank), model=model) for rank in (4, 16, 64)
    ]
    adapters = [made[0], None, made[1], made[0], made[2], None, made[1], made[0]]
    texts = [random_tokens(tiny.spec, 3 + 9 * i, seed=i) for i in range(len(adapters))]

    def row(index: int, start: int, pages: list[int]) -> _native.Row:
        return all_logits(texts[index][start:], start, pages, adapter=adapters[index])

    alone = []
    for index, text in enumerate(texts):
        driver = Driver(model, vocab_size=tiny.spec.vocab_size)
        driver.run(row(index, 0, driver.pages(len(text))))
        alone.append(driver.logits())
    driver = Driver(model, num_threads=2, vocab_size=tiny.spec.vocab_size)
    pages = [driver.pages(len(text)) for text in texts]
    driver.run(*(row(index, 0, pages[index]) for index in range(len(texts))))
    for index, expected in enumerate(alone):
        same(driver.logits(index), expected)
    starts = [len(text) - 1 if index % 2 else 0 for index, text in enumerate(texts)]
    driver.run(*(row(index, starts[index], pages[index]) for index in range(len(texts))))
    for index, expected in enumerate(alone):
        same(driver.logits(index), expected[starts[index] :])


def test_plans_of_several_steps() -> None:
    """The results come in the order of the rows, and as from one step after the other."""
    tiny, adapter = decoders()["llama"]
    model = native_model(tiny)
    own = native_adapter(tiny, adapter, model=model)
    prompt = random_tokens(tiny.spec, 20)

    def tokens(adapters: list[_native.Adapter | None], steps: int) -> list[list[int]]:
        driver = Driver(model, vocab_size=tiny.spec.vocab_size)
        slots = [driver.decoder.open_sampler(seed=1, temperature=0.0) for _ in adapters]
        pages = [driver.pages(64) for _ in adapters]
        texts: list[list[int]] = [[] for _ in adapters]
        for turn in range(0, 11, steps):
            rows = [
                sampled(
                    prompt if not turn else text[-1:],
                    0 if not turn else len(prompt) + turn - steps,
                    page,
                    slot,
                    adapter=own,
                )
                for text, page, slot, own in zip(texts, pages, slots, adapters, strict=True)
            ]
            for results in driver.run(*rows, steps=steps if turn else 1):
                assert [result.row for result in results] == list(range(len(adapters)))
                for text, result in zip(texts, results, strict=True):
                    text += result.tokens
        return texts

    together = tokens([own, None, own], 5)
    assert together == [*tokens([own], 1), *tokens([None], 1), *tokens([own], 1)]
    assert together[0] != together[1]


WRONG: dict[str, dict[str, Any]] = {
    "rank 0": {"rank": 0},
    "rank 257": {"rank": 257},
    "rank that does not divide": {"rank": 5},
    "unknown type": {"type": "F8"},
    "blocks": {"type": "Q8_0"},
    "no rows": {"up": b""},
    "half a row": {"up": bytes(4 * 6)},
    "not a number": {"down": np.full((4, 96), np.nan, np.float32)},
    "infinite": {"up": np.full((96, 4), np.inf, np.float32)},
    "scale that is no number": {"scale": float("nan")},
    "row map beyond the rows": {"row_map": [*range(95), 96]},
    "row map below 0": {"row_map": [*range(95), -1]},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_factors(wrong: dict[str, Any]) -> None:
    good: dict[str, Any] = {"down": bytes(4 * 4 * 96), "up": bytes(4 * 96 * 4), "rank": 4}
    assert _native.LowRank(**good).nbytes > 0
    with pytest.raises(ValueError, match=r"\w"):
        _native.LowRank(**good | wrong)


def test_wrong_adapters() -> None:
    tiny, _ = decoders()["llama"]
    model = native_model(tiny)
    square = _native.LowRank(bytes(4 * 4 * 96), bytes(4 * 96 * 4), rank=4)
    _native.Adapter(model, [{"query": square}, {}])
    for layers in (
        [{}],
        [{}, {}, {}],
        [{"query": square}, {"head": square}],
        [{"key": square}, {}],
        [{"up": square}, {}],
    ):
        with pytest.raises(ValueError, match=r"layer|matrix"):
            _native.Adapter(model, layers)
    experts = native_model(decoders()["experts"][0])
    with pytest.raises(ValueError, match="layer 1, up: this layer has experts"):
        _native.Adapter(experts, [{}, {"up": square}])


@pytest.mark.parametrize("type", ["F16", "BF16", "F32"])
def test_types_and_row_maps(type: str) -> None:
    """Values that all three types hold make one adapter, whatever the order of the rows on disk."""
    tiny, _ = decoders()["llama"]
    rng = np.random.default_rng(0)
    down, up = (rng.integers(-64, 64, shape).astype(np.float32) / 512 for shape in ((4, 96), (96, 4)))
    order = rng.permutation(96)

    def stored(values: np.ndarray) -> bytes:
        if type == "BF16":
            return (np.ascontiguousarray(values).view(np.uint32) >> 16).astype(np.uint16).tobytes()
        return values.astype({"F16": np.float16, "F32": np.float32}[type]).tobytes()

    model, tokens = native_model(tiny), random_tokens(tiny.spec, 30)
    low_rank = _native.LowRank(
        stored(down), stored(up[order]), rank=4, type=type, scale=0.5, row_map=np.argsort(order).tolist()
    )
    assert (low_rank.rank, low_rank.rows, low_rank.columns) == (4, 96, 96)
    driver = Driver(model, vocab_size=tiny.spec.vocab_size)
    adapter = _native.Adapter(model, [{}, {"output": low_rank}])
    assert adapter.nbytes == low_rank.nbytes
    driver.run(all_logits(tokens, 0, driver.pages(30), adapter=adapter))
    plain = {"layers.1.output": LowRank(down_RN=down, up_MR=up, scale=0.5)}
    same(driver.logits(), ReferenceDecoder(tiny.spec, tiny.tensors(), adapter=plain).logits(tokens))


def test_an_ended_plan_holds_no_adapter() -> None:
    """What nobody else refers to is gone at the plan's end, not with the next plan."""
    tiny, adapter = decoders()["llama"]
    model = native_model(tiny)
    driver = Driver(model, vocab_size=tiny.spec.vocab_size)
    own = native_adapter(tiny, adapter, model=model)
    before = sys.getrefcount(own)
    driver.run(all_logits([1, 2], 0, driver.pages(2), adapter=own))
    assert sys.getrefcount(own) == before
