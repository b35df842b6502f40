"""The NumPy decoders against `transformers` on the same dequantised weights."""

from __future__ import annotations

import numpy as np
import pytest

from pennyweight.native.reference import ReferenceDecoder
from tests.native import tiny_decoders
from tests.native.agreement import divergence
from tests.native.tiny_decoders import TinyDecoder, random_tokens
from tests.native.transformers_models import TransformersDecoder

DECODERS = {
    "llama Q4_1": tiny_decoders.llama(("Q4_1",)),
    "llama mixed": tiny_decoders.llama(("Q4_K", "Q6_K", "Q5_K", "F16"), num_heads=4, num_kv_heads=4),
    "gemma3 Q8_0": tiny_decoders.gemma3(("Q8_0",)),
    "gemma3 mixed": tiny_decoders.gemma3(("Q4_K", "Q6_K", "Q5_0"), num_heads=2, head_dim=128),
}


@pytest.mark.parametrize("tiny", DECODERS.values(), ids=DECODERS)
def test_float32_is_the_model(tiny: TinyDecoder) -> None:
    tokens = random_tokens(tiny.spec, 150)
    theirs = TransformersDecoder(tiny.spec, tiny.tensors()).logits(tokens)
    ours = ReferenceDecoder(tiny.spec, tiny.tensors(), mode="float32").logits(tokens)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("tiny", DECODERS.values(), ids=DECODERS)
def test_exact_is_near_the_model(tiny: TinyDecoder) -> None:
    tokens = random_tokens(tiny.spec, 150)
    theirs = TransformersDecoder(tiny.spec, tiny.tensors()).logits(tokens)
    assert divergence(theirs, ReferenceDecoder(tiny.spec, tiny.tensors()).logits(tokens)) < 0.006
