"""Experts in a file: all in one tensor as converters write them now, or in one each as they once did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.reference_decoder import read_decoder
from pennyweight.models.load import load
from pennyweight.models.outline import outline
from pennyweight.native.reference import ReferenceDecoder
from tests.models.gguf_writer import RawTensor, write_gguf
from tests.models.quantise import quantise
from tests.models.tiny import llama_shape, tiny_metadata, tiny_tensors
from tests.native.native_decoders import Driver

if TYPE_CHECKING:
    from pathlib import Path

EXPERTS, WIDTH = 4, 96
SHAPE = llama_shape(kind="Q8_0")
KEYS = {"llama.expert_count": EXPERTS, "llama.expert_used_count": 2}
TOKENS = [3, 1, 4, 1, 5, 9, 2, 6] * 5


def stacked() -> dict[str, RawTensor]:
    """The tiny llama with experts, each part `[experts, rows, columns]`."""
    random = np.random.default_rng(3)
    tensors = {
        name: part for name, part in tiny_tensors(SHAPE).items() if ".ffn_" not in name or "norm" in name
    }
    for index in range(SHAPE.num_layers):
        router = random.normal(size=(EXPERTS, SHAPE.d_model)).astype(np.float32)
        tensors[f"blk.{index}.ffn_gate_inp.weight"] = RawTensor("F32", router.shape, quantise(router, "F32"))
        for part, rows, columns in (
            ("gate", WIDTH, SHAPE.d_model),
            ("up", WIDTH, SHAPE.d_model),
            ("down", SHAPE.d_model, WIDTH),
        ):
            values = random.normal(size=(EXPERTS, rows, columns)).astype(np.float32) / np.float32(
                columns**0.5
            )
            raw = RawTensor("Q8_0", values.shape, quantise(values, "Q8_0"))
            tensors[f"blk.{index}.ffn_{part}_exps.weight"] = raw
    return tensors


def apart() -> dict[str, RawTensor]:
    """The same with a tensor for each expert."""
    tensors: dict[str, RawTensor] = {}
    for name, raw in stacked().items():
        if "_exps" not in name:
            tensors[name] = raw
            continue
        size = len(raw.data) // EXPERTS
        for expert in range(EXPERTS):
            own = RawTensor(raw.type, raw.shape[1:], raw.data[expert * size : (expert + 1) * size])
            tensors[name.replace("_exps", f".{expert}")] = own
    return tensors


@pytest.fixture(params=["stacked", "apart"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    tensors = {"stacked": stacked, "apart": apart}[request.param]()
    return write_gguf(tmp_path / f"{request.param}.gguf", tiny_metadata(SHAPE) | KEYS, tensors)


def test_experts_are_computed_as_the_reference_does(path: Path) -> None:
    loaded = load(path)
    expected = ReferenceDecoder(*read_decoder(path)).logits(TOKENS)
    driver = Driver(loaded.model, vocab_size=loaded.spec.vocab_size)
    np.testing.assert_array_equal(driver.score(TOKENS), expected)


def test_both_arrangements_are_one_model(tmp_path: Path) -> None:
    metadata = tiny_metadata(SHAPE) | KEYS
    paths = [write_gguf(tmp_path / f"{make.__name__}.gguf", metadata, make()) for make in (stacked, apart)]
    first, second = (Driver(load(path).model, vocab_size=265).score(TOKENS) for path in paths)
    np.testing.assert_array_equal(first, second)
    assert len({outline(path).weight_bytes for path in paths}) == 1


def test_every_experts_bytes_are_hashed_and_counted(tmp_path: Path) -> None:
    metadata, tensors = tiny_metadata(SHAPE) | KEYS, stacked()
    done: list[tuple[int, int]] = []
    path = write_gguf(tmp_path / "a.gguf", metadata, tensors)
    original = load(path, progress=lambda now, total: done.append((now, total))).content_hash
    assert done[-1] == (done[-1][1], done[-1][1])
    raw = tensors["blk.1.ffn_down_exps.weight"]
    changed = bytes([raw.data[0] ^ 1]) + raw.data[1:-1] + bytes([raw.data[-1] ^ 1])
    last = {"blk.1.ffn_down_exps.weight": RawTensor(raw.type, raw.shape, changed)}
    assert load(write_gguf(tmp_path / "b.gguf", metadata, tensors | last)).content_hash != original
