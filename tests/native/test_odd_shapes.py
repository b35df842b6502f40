"""Decoders no size of which fits a panel, a block or sixteen lanes: padding must show in no result."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pennyweight.models.spec import ExpertSpec
from pennyweight.native import _native
from pennyweight.native.reference import ReferenceDecoder
from pennyweight.native.reference_exact import linear
from tests.native import tiny_decoders
from tests.native.agreement import divergence, same_top
from tests.native.native_decoders import TARGETS, Driver, all_logits, packed
from tests.native.random_blocks import random_blocks
from tests.native.tiny_decoders import random_tokens

if TYPE_CHECKING:
    from tests.native.tiny_decoders import TinyDecoder

FLOATS = ("F32", "F16", "BF16")
ODD: dict[str, Any] = {"vocab_size": 1003, "d_model": 48, "d_ff": 100, "head_dim": 24}
TOKENS = 150


@cache
def decoders() -> dict[str, TinyDecoder]:
    """Head sizes below, between and above 16 and 32; widths that end in every part of a block."""
    llama, gemma3 = tiny_decoders.llama, tiny_decoders.gemma3
    made = {type: llama((type,), **ODD) for type in FLOATS}
    made["norms of heads"] = gemma3(FLOATS, **ODD)
    made["odd numbers"] = gemma3(FLOATS, vocab_size=17, d_model=37, d_ff=33, head_dim=10)
    made["one block less one"] = llama(FLOATS, d_model=31, d_ff=63, num_heads=5, head_dim=6)
    made["less than a vector"] = llama(FLOATS, d_model=9, d_ff=5, num_heads=2, head_dim=4)
    made["two groups"] = llama(FLOATS, d_model=72, num_heads=6, num_kv_heads=2, head_dim=40)
    made["norms of all heads"] = tiny_decoders.olmo(FLOATS, num_heads=6, num_kv_heads=2, **ODD)
    odd_experts = ExpertSpec(count=3, used=2, d_ff=37, normalize=True)
    made["experts"] = tiny_decoders.experts(
        FLOATS, experts=odd_experts, post_norms=True, **ODD | {"d_ff": 37}
    )
    made["only the heads"] = llama(("Q8_0", "Q4_1", "Q5_0"), num_heads=4, num_kv_heads=2, head_dim=24)
    return made


@cache
def case(name: str) -> tuple[list[int], np.ndarray]:
    tiny = decoders()[name]
    tokens = random_tokens(tiny.spec, TOKENS)
    return tokens, ReferenceDecoder(tiny.spec, tiny.tensors()).logits(tokens)


@pytest.mark.parametrize(("target", "name"), list(product(TARGETS, decoders())), indirect=["target"])
def test_logits_are_exact(target: str, name: str) -> None:
    tokens, expected = case(name)
    assert _native.active_target() == target
    np.testing.assert_array_equal(Driver(decoders()[name], num_threads=2).score(tokens), expected)


@pytest.mark.parametrize("name", decoders())
def test_chunks_and_company_change_nothing(name: str) -> None:
    """Few rows prepare their input apart from many; rows of others before must leave nothing behind."""
    tokens, expected = case(name)
    driver = Driver(decoders()[name], num_threads=2)
    driver.score(random_tokens(decoders()[name].spec, 70, seed=9))
    pages = driver.pages(TOKENS)
    for begin, end in ((0, 90), (90, 92), (92, 93), (93, TOKENS)):
        other = all_logits(tokens[:2], 0, driver.pages(2))
        driver.run(all_logits(tokens[begin:end], begin, pages), other)
        np.testing.assert_array_equal(driver.logits(0), expected[begin:end])
        np.testing.assert_array_equal(driver.logits(1), expected[:2])


@pytest.mark.parametrize("name", decoders())
def test_it_is_the_model_that_floats_compute(name: str) -> None:
    """Only keys, values and (of block types) inputs are rounded: the same tokens come out on top."""
    tiny = decoders()[name]
    tokens, ours = case(name)
    floats = ReferenceDecoder(tiny.spec, tiny.tensors(), mode="float32").logits(tokens)
    assert divergence(floats, ours) < 2e-3
    assert same_top(floats, ours) > 0.9


@pytest.mark.parametrize(("target", "type"), list(product(TARGETS, FLOATS)))
def test_products_of_any_width(target: str, type: str) -> None:
    for rows, columns in product((1, 17, 48), (1, 5, 31, 33, 100)):
        blocks = random_blocks(np.random.default_rng(columns), type, rows, columns)
        x = np.random.default_rng(1).standard_normal((5, columns)).astype(np.float32)
        for tokens in (1, 5):
            product_bytes = packed(blocks).multiply(x[:tokens], tokens=tokens, target=target)
            ours = np.frombuffer(product_bytes, np.float32).reshape(tokens, rows)
            np.testing.assert_array_equal(ours, linear(x[:tokens], blocks.weights()))
        assert packed(blocks).row(0) == blocks.weights().values[0].tolist()


def test_block_types_have_whole_blocks() -> None:
    with pytest.raises(ValueError, match="columns must be a positive multiple of 32"):
        _native.PackedMatrix(bytes(34), type="Q8_0", rows=1, columns=48)
    with pytest.raises(ValueError, match="columns must be a positive multiple of 256"):
        _native.PackedMatrix(bytes(144), type="Q4_K", rows=1, columns=96)
