"""Every family against `transformers` on the same weights, from a file as llama.cpp's converter writes it.

Floats: the NumPy reference reads spec and roles of the file and agrees to 1e-4. The engine rounds
activations, keys and values to int8: its distributions, from floats and from Q8_0, are within 0.007 nats.
With random experts, where a near tie lets another one answer, within 0.02. Positions go to five times those
that scaled rotations were trained on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmarks.reference_decoder import read_decoder
from pennyweight.models.load import load
from pennyweight.native.reference import ReferenceDecoder
from tests.models.converter import convert
from tests.models.families import FAMILIES, ORIGINAL_CONTEXT, torch_model
from tests.native.agreement import divergence, margins_lost
from tests.native.native_decoders import Driver, sampled

if TYPE_CHECKING:
    from pathlib import Path

VOCAB_SIZE = 265  # of the tiny vocabulary
LENGTH = 5 * ORIGINAL_CONTEXT


@pytest.fixture(scope="module", params=FAMILIES)
def made(request: pytest.FixtureRequest) -> Made:
    pytest.importorskip("torch", reason="torch is a development dependency")
    pytest.importorskip("transformers", reason="transformers is a development dependency")
    return Made(request.param)


class Made:
    """One family's model, and what transformers says of some tokens."""

    def __init__(self, name: str) -> None:
        self.family = FAMILIES[name]
        self.model = torch_model(self.family, VOCAB_SIZE)
        length = self.family.context or LENGTH
        self.tokens = [int(token) for token in np.random.default_rng(7).integers(0, VOCAB_SIZE, length)]
        self.logits = self.score(self.tokens)
        self.has_experts = "num_experts_per_tok" in self.family.settings

    def score(self, tokens: list[int]) -> np.ndarray:
        import torch

        with torch.inference_mode():
            scores: np.ndarray = self.model(torch.tensor([tokens]), use_cache=False).logits[0].numpy()
        return scores


def test_floats_are_the_model(made: Made, tmp_path: Path) -> None:
    path = convert(made.model, tmp_path / "floats.gguf", kind="F32")
    spec, tensors = read_decoder(path, context=made.family.context)
    ours = ReferenceDecoder(spec, tensors, mode="float32").logits(made.tokens)
    np.testing.assert_allclose(ours, made.logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_the_engine_is_near_the_model(made: Made, kind: str, tmp_path: Path) -> None:
    path = convert(made.model, tmp_path / "packed.gguf", kind=kind)
    driver = Driver(load(path, context=made.family.context).model, vocab_size=VOCAB_SIZE)
    ours = driver.score(made.tokens)
    assert divergence(made.logits, ours) < (0.02 if made.has_experts else 0.007)
    assert made.has_experts or (margins_lost(made.logits, ours) < 0.5).all()


def test_greedy_texts_part_only_at_near_ties(made: Made, tmp_path: Path) -> None:
    path = convert(made.model, tmp_path / "floats.gguf", kind="F32")
    driver = Driver(load(path, context=made.family.context).model, vocab_size=VOCAB_SIZE)
    prompt = made.tokens[: 8 if made.family.context else ORIGINAL_CONTEXT + 8]
    text = greedy(driver, prompt, length=24)
    theirs = made.score(prompt + text)[len(prompt) - 1 : -1]
    ours = np.zeros_like(theirs)
    ours[np.arange(len(text)), text] = 1
    lost = margins_lost(theirs, ours)
    assert len(lost) <= (6 if made.has_experts else 2)
    assert (lost < (0.5 if made.has_experts else 0.2)).all()


def greedy(driver: Driver, prompt: list[int], *, length: int) -> list[int]:
    slot: Any = driver.decoder.open_sampler(seed=0, temperature=0.0)
    pages = driver.pages(len(prompt) + length)
    ((first,),) = driver.run(sampled(prompt, 0, pages, slot))
    steps = driver.run(sampled(first.tokens, len(prompt), pages, slot), steps=length - 1)
    return first.tokens + [token for (result,) in steps for token in result.tokens]
