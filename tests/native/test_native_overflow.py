"""Files whose numbers overflow end in an error or in numbers, never in a crash, on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest

from pennyweight.native import _native
from tests.native import tiny_decoders
from tests.native.native_decoders import TARGETS, Driver, sampled
from tests.native.random_blocks import TYPES, Blocks
from tests.native.tiny_decoders import TinyDecoder, random_tokens


def damaged(type: str) -> TinyDecoder:
    """Every block is random bytes: scales up to infinity, and not-a-numbers."""
    tiny = tiny_decoders.llama((type,))
    rng = np.random.default_rng(0)
    matrices = {
        name: Blocks(b.type, b.rows, b.columns, rng.integers(0, 256, len(b.data), np.uint8).tobytes())
        for name, b in tiny.matrices.items()
    }
    return TinyDecoder(tiny.spec, matrices, tiny.norms)


@pytest.mark.parametrize("target", TARGETS, indirect=True)
@pytest.mark.parametrize("type", TYPES)
@pytest.mark.usefixtures("target")
def test_random_bytes(type: str) -> None:
    driver = Driver(damaged(type), num_threads=2)
    slot = driver.decoder.open_sampler(seed=0, top_k=10, top_logprobs=3)
    pages = driver.pages(200)
    tokens = random_tokens(tiny_decoders.llama((type,)).spec, 130)
    [[result]] = driver.run(sampled(tokens, 0, pages, slot))
    assert "not finite" in result.error
    assert not result.tokens
    # The decoder is still there.
    driver.run(_native.Row(tokens=[1], position=130, pages=pages))
