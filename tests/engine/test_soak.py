"""The soak on the toy decoder; `test_native_soak.py` runs it on the native one."""

from __future__ import annotations

import pytest

from tests.engine import toy_decoder
from tests.engine.soak import Soak, run_soak


@pytest.mark.parametrize("seed", [1])
def test_three_hundred_requests_in_a_pool_too_small(seed: int) -> None:
    run_soak(
        Soak(
            make_decoder=lambda num_pages: toy_decoder.Decoder(num_pages=num_pages),
            module=toy_decoder,
            vocab_size=toy_decoder.VOCAB_SIZE,
            end_tokens=toy_decoder.END_TOKENS,
            seed=seed,
        )
    )
