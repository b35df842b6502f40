"""The compiled decoder against the exact reference: weight types, targets, head shapes, pages and windows."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pennyweight.models.spec import ExpertSpec
from pennyweight.native import _native
from pennyweight.native.reference import ReferenceDecoder
from tests.native import tiny_decoders
from tests.native.agreement import log_softmax
from tests.native.native_decoders import TARGETS, Driver, all_logits
from tests.native.random_blocks import TYPES
from tests.native.tiny_decoders import random_tokens

if TYPE_CHECKING:
    from tests.native.tiny_decoders import TinyDecoder

MIXED = ("Q4_K", "Q6_K", "Q5_K", "Q5_0", "F16", "Q8_0", "Q4_1")


@cache
def decoders() -> dict[str, TinyDecoder]:
    """One per weight type and family, and some with other shapes."""
    made = {f"llama {type}": tiny_decoders.llama((type,)) for type in TYPES}
    made |= {f"gemma3 {type}": tiny_decoders.gemma3((type,)) for type in ("Q8_0", "Q4_K", "Q6_K", "Q5_0")}
    made["llama mixed"] = tiny_decoders.llama(MIXED)
    made["gemma3 mixed"] = tiny_decoders.gemma3(MIXED)
    made |= {f"olmo {type}": tiny_decoders.olmo((type,)) for type in ("Q8_0", "Q4_K")}
    made |= {f"capped {type}": tiny_decoders.capped((type,)) for type in ("Q4_1", "Q6_K")}
    made |= {f"experts {type}": tiny_decoders.experts((type,)) for type in ("Q4_0", "Q6_K", "F32")}
    # More than sixteen experts: their probabilities are summed in two runs.
    many = ExpertSpec(count=19, used=5, d_ff=96, normalize=False, scale=2.5)
    made["experts many"] = tiny_decoders.experts(("Q8_0", "F32", "Q4_1"), experts=many, residual_scale=0.5)
    made["heads of 16"] = tiny_decoders.llama(("Q4_0",), num_heads=6, num_kv_heads=2, head_dim=16)
    made["heads of 256"] = tiny_decoders.gemma3(("Q4_1",), num_heads=4, num_kv_heads=1, head_dim=256)
    made["nine heads on three"] = tiny_decoders.llama(("Q4_1",), num_heads=9, num_kv_heads=3, head_dim=64)
    made["heads of their own"] = tiny_decoders.llama(("Q5_1",), num_heads=4, num_kv_heads=4, head_dim=96)
    made["half the head turns"] = tiny_decoders.llama(
        ("Q8_0",), head_dim=64, ropes=(tiny_decoders.frequencies(32, 1e4),)
    )
    int4: dict[str, Any] = {"kv_format": "int4"}
    made["int4"] = tiny_decoders.gemma3(("Q8_0", "Q4_1"), **int4)
    made["int4 capped"] = tiny_decoders.capped(("Q8_0",), **int4)
    for head_dim in (16, 80, 96, 256):  # runs of 16, 16, 32 and 256 elements are rotated
        made[f"int4 heads of {head_dim}"] = tiny_decoders.llama(
            ("Q8_0",), num_heads=6, num_kv_heads=2, head_dim=head_dim, **int4
        )
    made["one odd vocabulary"] = tiny_decoders.llama(("Q8_0",), vocab_size=1037)
    return made


LENGTHS = {"gemma3 Q8_0": 600, "int4": 330, "nine heads on three": 330, "heads of 256": 270}


@cache
def case(name: str) -> tuple[list[int], np.ndarray]:
    """Tokens and the reference's logits. 150 positions are three pages, 330 two segments, 600 three."""
    tiny = decoders()[name]
    tokens = random_tokens(tiny.spec, LENGTHS.get(name, 150))
    return tokens, ReferenceDecoder(tiny.spec, tiny.tensors()).logits(tokens)


@pytest.mark.parametrize(("target", "name"), list(product(TARGETS, decoders())), indirect=["target"])
def test_logits_are_exact(target: str, name: str) -> None:
    tiny = decoders()[name]
    tokens, expected = case(name)
    assert _native.active_target() == target
    ours = Driver(tiny, num_threads=2).score(tokens)
    np.testing.assert_array_equal(ours, expected)


def test_a_head_of_its_own() -> None:
    tiny = tiny_decoders.llama(("Q4_1", "Q8_0", "Q6_K"))
    head = tiny_decoders.llama(("Q5_K",), seed=9).matrices["embedding"]
    untied = tiny_decoders.TinyDecoder(tiny.spec, dict(tiny.matrices) | {"head": head}, tiny.norms)
    tokens = random_tokens(tiny.spec, 20)
    ours = Driver(untied).score(tokens)
    np.testing.assert_array_equal(ours, ReferenceDecoder(tiny.spec, untied.tensors()).logits(tokens))
    assert not np.array_equal(ours, Driver(tiny).score(tokens))


def test_hidden_and_target_logprobs() -> None:
    tiny = decoders()["gemma3 Q8_0"]
    tokens = random_tokens(tiny.spec, 101)
    hidden = ReferenceDecoder(tiny.spec, tiny.tensors()).hidden(tokens)
    driver = Driver(tiny)
    row = all_logits(tokens[:100], 0, driver.pages(100), targets=tokens[1:101], target_top=3, hidden=True)
    ((result,),) = driver.run(row)
    np.testing.assert_array_equal(np.frombuffer(result.hidden, np.float32), hidden[99])
    all_log_p = log_softmax(driver.logits())
    log_p = all_log_p[np.arange(100), tokens[1:101]]
    np.testing.assert_allclose(result.target_logprobs, log_p, rtol=0, atol=1e-5)
    likeliest = np.argsort(-driver.logits(), axis=1, kind="stable")[:, :3]
    assert [[token for token, _ in top] for top in result.target_top] == likeliest.tolist()
    np.testing.assert_allclose(
        [[value for _, value in top] for top in result.target_top],
        np.take_along_axis(all_log_p, likeliest, axis=1),
        rtol=0,
        atol=1e-5,
    )
    assert (result.row, result.tokens, result.logprobs, result.top) == (0, [], [], [])


def test_embeddings_replace_tokens() -> None:
    tiny = decoders()["gemma3 mixed"]
    tokens = random_tokens(tiny.spec, 40)
    driver = Driver(tiny)
    vectors = np.random.default_rng(0).standard_normal((6, tiny.spec.d_model)).astype(np.float32)
    row = all_logits(tokens, 0, driver.pages(40), embeddings=[(3, vectors[:4]), (20, vectors[4:])])
    driver.run(row)
    at = dict(zip((3, 4, 5, 6, 20, 21), vectors, strict=True))
    expected = ReferenceDecoder(tiny.spec, tiny.tensors()).logits(tokens, embeddings=at)
    np.testing.assert_array_equal(driver.logits(), expected)
