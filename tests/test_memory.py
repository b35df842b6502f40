"""The pool of pages suits the machine, or an error gives the numbers."""

from __future__ import annotations

import pytest

from pennyweight.core import PAGE_TOKENS
from pennyweight.errors import ConfigError
from pennyweight.memory import DEFAULT_PARALLEL, available_memory, pool_size
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


def test_with_plenty_of_memory() -> None:
    size = pool_size(SPEC, context=None, parallel=None, available_bytes=100 * CONTEXT_BYTES)
    assert (size.context, size.parallel) == (4096, DEFAULT_PARALLEL)
    assert size.num_pages == DEFAULT_PARALLEL * 4096 // PAGE_TOKENS


def test_with_less_memory_fewer_contexts_fit() -> None:
    size = pool_size(SPEC, context=None, parallel=None, available_bytes=7 * CONTEXT_BYTES)
    assert (size.context, size.parallel) == (4096, 3)


def test_with_little_memory_the_context_shrinks() -> None:
    size = pool_size(SPEC, context=None, parallel=None, available_bytes=CONTEXT_BYTES)
    assert (size.context, size.parallel) == (2048, 1)


def test_what_was_asked_for_is_given() -> None:
    size = pool_size(SPEC, context=100, parallel=3, available_bytes=100 * CONTEXT_BYTES)
    assert (size.context, size.parallel, size.num_pages) == (100, 3, 6)


def test_what_was_asked_for_and_does_not_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(ConfigError, match=r"8 x 4096 tokens of context need .* MiB.*--context or --parallel"):
        pool_size(SPEC, context=4096, parallel=8, available_bytes=CONTEXT_BYTES)


def test_a_machine_without_memory() -> None:
    with pytest.raises(ConfigError, match="1 x 1024 tokens"):
        pool_size(SPEC, context=None, parallel=None, available_bytes=0)


def test_a_context_beyond_the_model() -> None:
    with pytest.raises(ConfigError, match="5000 tokens was asked for; this model was made for 4096"):
        pool_size(SPEC, context=5000, parallel=None, available_bytes=100 * CONTEXT_BYTES)


def test_this_machine_has_memory() -> None:
    assert available_memory() > 0
