"""The pool of pages suits the machine, or an error gives the numbers."""

from __future__ import annotations

import pytest

from pennyweight.core import PAGE_TOKENS
from pennyweight.errors import ConfigError
from pennyweight.memory import DEFAULT_PARALLEL, PageBudget, PoolSize, parse_memory, pool_size
from pennyweight.memory_need import EXTENT_TOKENS
from pennyweight.models.spec import LayerSpec, ModelSpec, RopeSpec

SPEC = ModelSpec(
    architecture="llama",
    vocab_size=100,
    d_model=64,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    d_ff=96,
    context_length=4096,
    norm_eps=1e-5,
    activation="silu",
    layers=(LayerSpec(), LayerSpec()),
    ropes=(RopeSpec(inverse_frequencies=(1.0,)),),
    attention_scale=0.25,
)
CONTEXT_BYTES = SPEC.kv_bytes_per_token * SPEC.context_length


def pool(contexts: float, *, context: int | None = None, parallel: int | None = None) -> PoolSize:
    """The pool where pages may take as many whole contexts."""
    budget = PageBudget(num_bytes=int(contexts * CONTEXT_BYTES), source="what there is")
    return pool_size(SPEC, context=context, parallel=parallel, budget=budget)


def test_with_plenty_of_memory() -> None:
    size = pool(50)
    assert (size.context, size.parallel) == (4096, DEFAULT_PARALLEL)
    assert size.num_pages == DEFAULT_PARALLEL * 4096 // PAGE_TOKENS


def test_with_less_memory_fewer_contexts_fit() -> None:
    assert pool(3.5) == PoolSize(context=4096, parallel=3, num_pages=3 * 4096 // PAGE_TOKENS)


def test_with_little_memory_the_context_shrinks() -> None:
    size = pool(0.5)
    assert (size.context, size.parallel) == (2048, 1)


def test_what_was_asked_for_is_given() -> None:
    size = pool(50, context=100, parallel=3)
    assert (size.context, size.parallel, size.num_pages) == (100, 3, 6)


def test_what_was_asked_for_and_does_not_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(ConfigError, match=r"8 x 4096 tokens of context need .* MiB.*--context or --parallel"):
        pool(0.5, context=4096, parallel=8)


def test_a_context_beyond_the_model() -> None:
    with pytest.raises(ConfigError, match="5000 tokens was asked for; this model was made for 4096"):
        pool(50, context=5000)


@pytest.mark.parametrize("contexts", [0.3, 1.7, 20.2])
def test_a_ceiling_is_used_to_its_last_extent(contexts: float) -> None:
    num_bytes = int(contexts * CONTEXT_BYTES)
    budget = PageBudget(num_bytes=num_bytes, source="what there is", use_all=True)
    size = pool_size(SPEC, context=None, parallel=None, budget=budget)
    extents = num_bytes // (EXTENT_TOKENS * SPEC.kv_bytes_per_token)
    assert size.num_pages == extents * EXTENT_TOKENS // PAGE_TOKENS
    assert size.context == min(4096, extents * EXTENT_TOKENS)


def test_no_budget_at_all() -> None:
    with pytest.raises(ConfigError, match="what there is is 0 MiB"):
        pool(-1)


@pytest.mark.parametrize(
    ("written", "num_bytes"),
    [("1.5GiB", 3 * 2**29), ("800MB", 800_000_000), ("64 kib", 65_536), ("123B", 123), (2**30, 2**30)],
)
def test_amounts(written: int | str, num_bytes: int) -> None:
    assert parse_memory(written) == num_bytes


@pytest.mark.parametrize(
    "written", ["2000", "", "GiB", "-1GiB", "1.GiB", "1e3MB", "2G", "0MiB", 0, -5, True, "\u0661MB"]
)
def test_what_is_no_amount(written: int | str) -> None:
    with pytest.raises(ConfigError, match=r"write an amount such as 1\.5GiB"):
        parse_memory(written)


def test_what_limits_the_context_is_said_with_what_raises_it() -> None:
    plenty = PageBudget(num_bytes=2**40, source="plenty")
    little = PageBudget(num_bytes=40 * 64 * SPEC.kv_bytes_per_token, source="little")
    assert "made for no more" in pool_size(SPEC, context=None, parallel=1, budget=plenty).remedy
    assert "raise --context" in pool_size(SPEC, context=128, parallel=1, budget=plenty).remedy
    scarce = pool_size(SPEC, context=None, parallel=1, budget=little)
    assert scarce.context < SPEC.context_length
    assert f"made for {SPEC.context_length}" in scarce.remedy
    assert "--kv-cache-dtype int4" in scarce.remedy
