"""What is wrong is refused with ValueError and changes nothing: the decoder goes on with the same bits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pennyweight.models.spec import LayerSpec
from pennyweight.native import _native
from tests.native import tiny_decoders
from tests.native.adapters import native_adapter, random_adapter
from tests.native.native_decoders import Driver, native_model, sampled
from tests.native.tiny_decoders import TinyDecoder, random_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

TINY = tiny_decoders.llama(("Q8_0",))
TOKENS = random_tokens(TINY.spec, 70)
GOOD = {"tokens": TOKENS, "position": 0, "pages": [0, 1]}
VECTOR = np.zeros(TINY.spec.d_model, np.float32)

ROWS: dict[str, dict[str, Any]] = {
    "no tokens": {"tokens": []},
    "token too large": {"tokens": [131]},
    "negative token": {"tokens": [-1]},
    "negative position": {"position": -1},
    "too few pages": {"pages": [0]},
    "page too large": {"pages": [0, 64]},
    "negative page": {"pages": [0, -1]},
    "unknown sampler": {"sampler": 12},
    "negative sampler": {"sampler": -1},
    "all is draft": {"sampler": 0, "draft_length": 70},
    "negative draft": {"sampler": 0, "draft_length": -1},
    "draft without sampler": {"draft_length": 1},
    "too many targets": {"logits": _native.Logits.ALL, "targets": [0] * 71},
    "target too large": {"logits": _native.Logits.ALL, "targets": [131] * 70},
    "targets without logits": {"targets": [0]},
    "embedding too short": {"embeddings": [(0, VECTOR[:-1])]},
    "embedding beyond the end": {"embeddings": [(70, VECTOR)]},
    "embedding before the start": {"embeddings": [(-1, VECTOR)]},
    "mask without sampler": {"masked": True},
    "taken without sampler": {"taken": [1]},
    "taken token too large": {"sampler": 0, "logits": _native.Logits.LAST, "taken": [131]},
    "adapter of another model": {"adapter": native_adapter(TINY, random_adapter(TINY, rank=2))},
}


@pytest.mark.parametrize("wrong", ROWS.values(), ids=ROWS)
def test_wrong_rows(wrong: dict[str, Any]) -> None:
    driver = Driver(TINY)
    assert driver.decoder.open_sampler(seed=0) == 0
    before = driver.score(TOKENS, pages=[0, 1])
    with pytest.raises(ValueError, match=r"\w"):
        driver.run(_native.Row(**GOOD), _native.Row(**GOOD | {"pages": [2, 3]} | wrong))
    np.testing.assert_array_equal(driver.score(TOKENS[69:], position=69, pages=[0, 1]), before[69:])


def test_one_row_per_sampler() -> None:
    """Two rows would draw from one random counter in an order nobody knows."""
    driver = Driver(TINY, num_threads=2)
    slot = driver.decoder.open_sampler(seed=0)
    with pytest.raises(ValueError, match=r"\w"):
        driver.run(sampled([1], 0, [0], slot), sampled([1], 0, [1], slot))


@pytest.mark.parametrize("steps", [0, -1])
def test_wrong_steps(steps: int) -> None:
    driver = Driver(TINY)
    slot = driver.decoder.open_sampler(seed=0)
    with pytest.raises(ValueError, match=r"\w"):
        driver.run(sampled([1], 0, [0], slot), steps=steps)


@pytest.mark.parametrize(
    "row",
    [{"tokens": [1, 2]}, {"masked": True}, {"position": 60}, {"embeddings": [(0, VECTOR)]}],
    ids=str,
)
def test_wrong_rows_for_several_steps(row: dict[str, Any]) -> None:
    driver = Driver(TINY)
    slot = driver.decoder.open_sampler(seed=0)
    with pytest.raises(ValueError, match=r"\w"):
        driver.run(sampled(**{"tokens": [1], "position": 0, "pages": [0], "slot": slot} | row), steps=10)


@pytest.mark.parametrize(
    "masks",
    [
        [],
        [(0, bytes(4))],
        [(1, bytes(20))],
        [(0, bytes(20)), (0, bytes(20))],
        [(0, bytes(20)), (1, bytes(20))],
        [(0, bytes(40))],
        [(0, b"")],
    ],
    ids=["none", "short", "another row", "twice", "a row too many", "a position too many", "empty"],
)
def test_wrong_masks(masks: list[tuple[int, bytes]]) -> None:
    driver = Driver(TINY)
    slot = driver.decoder.open_sampler(seed=0)
    driver.decoder.begin([sampled(**GOOD, slot=slot, masked=True)])
    with pytest.raises(ValueError, match=r"\w"):
        driver.decoder.finish(masks, timeout_s=1.0)
    # The step still waits for its mask.
    steps, done = driver.decoder.finish([(0, b"\x08" + bytes(19))], timeout_s=1.0)
    assert done
    assert [result.tokens for result in steps[0]] == [[3]]


def test_one_plan_at_a_time() -> None:
    driver = Driver(TINY)
    slot = driver.decoder.open_sampler(seed=0)
    # A plan that cannot end before its mask arrives, so that the calls below always find it running.
    driver.decoder.begin([sampled(**GOOD, slot=slot, masked=True)])
    for busy in (
        lambda: driver.decoder.begin([_native.Row(**GOOD)]),
        lambda: driver.decoder.open_sampler(seed=0),
        lambda: driver.decoder.copy_page(0, 1),
        lambda: driver.decoder.read_page(1),
        lambda: driver.decoder.write_page(1, bytes(driver.decoder.page_bytes)),
        lambda: driver.decoder.logits(0),
    ):
        with pytest.raises(RuntimeError, match="while a plan runs"):
            busy()
    assert driver.decoder.finish([(0, b"\x08" + bytes(19))])[1]
    assert driver.decoder.finish() == ([], True)


def test_wrong_pages_are_not_copied() -> None:
    decoder = Driver(TINY).decoder
    for source, destination in ((-1, 0), (0, -1), (64, 0), (0, 64)):
        with pytest.raises(ValueError, match=r"\w"):
            decoder.copy_page(source, destination)
    for page in (-1, 64):
        with pytest.raises(ValueError, match="no page"):
            decoder.commit_page(page)
        with pytest.raises(ValueError, match="no page"):
            decoder.read_page(page)
        with pytest.raises(ValueError, match="no page"):
            decoder.write_page(page, bytes(decoder.page_bytes))
    for wrong in (b"", bytes(decoder.page_bytes - 1), bytes(decoder.page_bytes + 1)):
        with pytest.raises(ValueError, match=f"{decoder.page_bytes} bytes, not {len(wrong)}"):
            decoder.write_page(0, wrong)


@pytest.mark.parametrize(
    "wrong", [{"num_pages": 0}, {"num_pages": -1}, {"num_threads": -1}, {"num_threads": 5000}], ids=str
)
def test_wrong_decoders(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        _native.Decoder(native_model(TINY), **{"num_pages": 4} | wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"vocab_size": 130},
        {"d_model": 128},
        {"num_heads": 6},
        {"num_kv_heads": 2},
        {"head_dim": 16},
        {"d_ff": 192},
        {"activation": "relu"},
        {"norm_eps": float("nan")},
        {"attention_scale": float("inf")},
        {"ropes": ()},
        {"ropes": (tiny_decoders.frequencies(34, 1e4),)},
    ],
    ids=str,
)
def test_wrong_models(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        native_model(TinyDecoder(replace(TINY.spec, **wrong), TINY.matrices, TINY.norms))


OLMO = tiny_decoders.olmo(("Q8_0",))


@pytest.mark.parametrize(
    "wrong",
    [
        {"attention_softcap": -1.0},
        {"logit_softcap": float("nan")},
        {"residual_scale": float("inf")},
        {"logit_scale": float("nan")},
        {"layers": (LayerSpec(rope=1),) * 3},
        {"ropes": (replace(OLMO.spec.ropes[0], magnitude=float("inf")),)},
    ],
    ids=str,
)
def test_wrong_constants(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"cap|finite|names rope 1"):
        native_model(TinyDecoder(replace(OLMO.spec, **wrong), OLMO.matrices, OLMO.norms))


@pytest.mark.parametrize(
    "name", ["query_bias", "key_bias", "value_bias", "output_bias", "query_norm", "key_norm"]
)
def test_wrong_vectors(name: str) -> None:
    norms = dict(OLMO.norms) | {f"layers.1.{name}": VECTOR[:-1]}
    with pytest.raises(ValueError, match=f"{name} has 95 values, expected"):
        native_model(TinyDecoder(OLMO.spec, OLMO.matrices, norms))


EXPERTS = tiny_decoders.experts(("Q8_0",))


def test_wrong_experts() -> None:
    assert EXPERTS.spec.experts is not None
    more = replace(EXPERTS.spec, experts=replace(EXPERTS.spec.experts, used=6))
    with pytest.raises(ValueError, match="a layer has 5 experts, the first has 5, and 6 are used"):
        native_model(TinyDecoder(more, EXPERTS.matrices, EXPERTS.norms))
    for name, other, message in (
        ("router", "experts.0.gate", "router is 64 x 96, expected 5 x 96"),
        ("experts.3.down", "experts.3.up", "expert 3: down is 64 x 96, expected 96 x 64"),
    ):
        wrong = dict(EXPERTS.matrices) | {f"layers.1.{name}": EXPERTS.matrices[f"layers.1.{other}"]}
        with pytest.raises(ValueError, match=message):
            native_model(TinyDecoder(EXPERTS.spec, wrong, EXPERTS.norms))
    missing = replace(EXPERTS.spec, experts=None)
    plain = {name: part for name, part in EXPERTS.matrices.items() if "experts" not in name}
    with pytest.raises(ValueError, match="gate is missing"):
        native_model(TinyDecoder(missing, plain, EXPERTS.norms))


@pytest.mark.parametrize("name", ["layers.0.attention_norm", "final_norm"])
def test_wrong_norms(name: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        native_model(TinyDecoder(TINY.spec, TINY.matrices, dict(TINY.norms) | {name: VECTOR[:-1]}))


def test_targets() -> None:
    assert _native.active_target() in _native.targets()
    assert set(_native.targets()) <= set(_native.compiled_targets())
    assert "scalar" in _native.targets()
    active = _native.active_target()
    with pytest.raises(ValueError, match="scalar"):
        _native.use_target("avx9000")
    assert _native.active_target() == active


@pytest.mark.parametrize("measure", [_native.measure_bandwidth, _native.measure_int8_peak])
def test_nobody_to_measure_with(measure: Callable[[int], float]) -> None:
    with pytest.raises(ValueError, match="threads must be 1"):
        measure(0)


def test_masks_are_given_once() -> None:
    driver = Driver(TINY)
    slot = driver.decoder.open_sampler(seed=0)
    mask = bytes([255]) * (4 * ((TINY.spec.vocab_size + 31) // 32))
    driver.decoder.begin([sampled(**GOOD, slot=slot, masked=True)])
    driver.decoder.finish([(0, mask)], timeout_s=1.0)
    with pytest.raises(ValueError, match="masks already"):
        driver.decoder.finish([(0, mask)], timeout_s=1.0)


def test_a_row_map_is_kept_for_adapters() -> None:
    rows = np.arange(16 * 32, dtype=np.float32)
    order = list(range(15, -1, -1))
    matrix = _native.PackedMatrix(rows, type="F32", rows=16, columns=32, row_map=order)
    assert matrix.row_map == order
    assert matrix.row(0) == list(rows[-32:])
