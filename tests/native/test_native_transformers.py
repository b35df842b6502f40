"""The compiled decoder against `transformers` on the same dequantised weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.reference_decoder import read_decoder
from pennyweight.errors import ModelNotFoundError
from pennyweight.models.catalog import CATALOG
from pennyweight.models.load import load
from pennyweight.models.local import resolve
from pennyweight.text.tokenizer import Tokenizer
from tests.native import tiny_decoders
from tests.native.agreement import divergence, margins_lost, same_top
from tests.native.native_decoders import Driver, sampled
from tests.native.tiny_decoders import random_tokens
from tests.native.transformers_models import TransformersDecoder

if TYPE_CHECKING:
    from tests.native.tiny_decoders import TinyDecoder

TINY = {
    "llama Q4_1": tiny_decoders.llama(("Q4_1",)),
    "llama mixed": tiny_decoders.llama(("Q4_K", "Q6_K", "Q5_K", "F16"), num_heads=4, num_kv_heads=4),
    "gemma3 Q8_0": tiny_decoders.gemma3(("Q8_0",)),
    "gemma3 mixed": tiny_decoders.gemma3(("Q4_K", "Q6_K", "Q5_0"), num_heads=2, head_dim=128),
}

TEXT = """The lighthouse at the end of the harbour was built in 1871, after the third winter in a row in which
a ship had been lost on the rocks. Its first keeper, a retired fisherman called Thomas Reid, lived
there with his wife and their four children for nineteen years. Every evening he carried the oil up
one hundred and twelve steps, trimmed the wick, and wound the clockwork that turned the lens. In his
log he noted the weather, the ships that passed, and the birds that struck the glass. When
electricity came to the town the lamp was changed, but the clockwork stayed, and it is still wound
by hand once a year, on the first Sunday in June. Visitors may climb the tower from April to
September. The museum in the keeper's house shows his log books, his telescope and a model of the
old harbour.
"""

PROMPTS = (
    "Name the capital of France.",
    "Write three sentences about the sea.",
    "How do I boil an egg?",
    "List the first five prime numbers and explain why they are prime.",
)


@pytest.mark.parametrize("tiny", TINY.values(), ids=TINY)
def test_tiny_distributions(tiny: TinyDecoder) -> None:
    tokens = random_tokens(tiny.spec, 150)
    theirs = TransformersDecoder(tiny.spec, tiny.tensors()).logits(tokens)
    ours = Driver(tiny).score(tokens)
    assert divergence(theirs, ours) < 0.006
    assert (margins_lost(theirs, ours) < 0.5).all()


def greedy(driver: Driver, prompt: list[int], *, length: int) -> list[int]:
    """The engine's own text after a prompt."""
    slot = driver.decoder.open_sampler(seed=0, temperature=0.0)
    pages = driver.pages(len(prompt) + length)
    ((first,),) = driver.run(sampled(prompt, 0, pages, slot))
    steps = driver.run(sampled(first.tokens, len(prompt), pages, slot), steps=length - 1)
    return first.tokens + [token for (result,) in steps for token in result.tokens]


class Real:
    """The default model, on both sides."""

    def __init__(self) -> None:
        name = "smollm2-135m-instruct"
        assert name in CATALOG
        try:
            path = resolve(name)
        except ModelNotFoundError as error:
            pytest.skip(error.message)
        self.theirs = TransformersDecoder(*read_decoder(path))
        loaded = load(path)
        self.tokenizer = Tokenizer.from_metadata(loaded.metadata)
        self.driver = Driver(loaded.model, vocab_size=loaded.spec.vocab_size)


@pytest.fixture(scope="module")
def real() -> Real:
    return Real()


@pytest.mark.model
def test_real_distributions(real: Real) -> None:
    """One short text: looser than the quality gate, which reads a hundred thousand tokens."""
    tokens = real.tokenizer.encode(TEXT)
    theirs, ours = real.theirs.logits(tokens), real.driver.score(tokens)
    assert divergence(theirs, ours) < 0.006
    assert same_top(theirs, ours) > 0.93


@pytest.mark.model
def test_real_greedy_texts_part_only_at_near_ties(real: Real) -> None:
    lost, positions = [], 0
    for prompt in PROMPTS:
        turn = f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
        tokens = real.tokenizer.encode(turn, parse_special=True)
        text = greedy(real.driver, tokens, length=64)
        theirs = real.theirs.logits(tokens + text)[len(tokens) - 1 : -1]
        ours = np.zeros_like(theirs)
        ours[np.arange(len(text)), text] = 1
        lost += margins_lost(theirs, ours).tolist()
        positions += len(text)
    assert max(lost, default=0) <= 0.5
    assert len(lost) <= 0.04 * positions
