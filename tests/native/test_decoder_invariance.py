"""A row's bits depend only on its own tokens: not on batch, chunks, pages, sharing or threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pennyweight.native import _native
from tests.native import tiny_decoders
from tests.native.native_decoders import PAGE, TARGETS, Driver, all_logits
from tests.native.tiny_decoders import random_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.native.tiny_decoders import TinyDecoder

DECODERS = {
    "llama": tiny_decoders.llama(("Q4_1", "Q8_0")),
    "llama K": tiny_decoders.llama(("Q4_K", "Q6_K")),
    "gemma3": tiny_decoders.gemma3(("Q5_0", "Q8_0")),
    "olmo": tiny_decoders.olmo(("Q8_0", "Q4_0")),
    "experts": tiny_decoders.experts(("Q4_1", "Q8_0", "F32")),
    "capped": tiny_decoders.capped(("Q4_1", "Q8_0")),
    "int4": tiny_decoders.gemma3(("Q5_0", "Q8_0"), kv_format="int4"),
}
same = np.testing.assert_array_equal


# Every decoder on the best instruction set, and the one with windows on all.
CASES = [(TARGETS[0], name) for name in DECODERS] + [(target, "gemma3") for target in TARGETS[1:]]

pytestmark = [
    pytest.mark.parametrize(
        ("target", "tiny"),
        [(target, DECODERS[name]) for target, name in CASES],
        ids=[f"{target}-{name}" for target, name in CASES],
        indirect=["target"],
    ),
    pytest.mark.usefixtures("target"),
]


def solo(tiny: TinyDecoder, tokens: Sequence[int]) -> np.ndarray:
    return Driver(tiny).score(tokens)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_chunked_is_whole(tiny: TinyDecoder, seed: int) -> None:
    tokens = random_tokens(tiny.spec, 330)
    rng = np.random.default_rng(seed)
    driver = Driver(tiny)
    pages, parts, position = driver.pages(330), [], 0
    while position < len(tokens):
        size = int(rng.choice([1, 2, 3, 17, 63, 64, 65, 130]))
        parts.append(driver.score(tokens[position : position + size], position=position, pages=pages))
        position += size
    same(np.concatenate(parts), solo(tiny, tokens))


def test_batch_is_single(tiny: TinyDecoder) -> None:
    """Prompts, continued prompts and decodes of different lengths in one step."""
    lengths = [(0, 1), (0, 70), (64, 1), (100, 33), (255, 2), (130, 130), (7, 1)]
    texts = [random_tokens(tiny.spec, before + now, seed=i) for i, (before, now) in enumerate(lengths)]
    driver = Driver(tiny, num_threads=2)
    pages = [driver.pages(len(text)) for text in texts]
    for text, own, (before, _) in zip(texts, pages, lengths, strict=True):
        if before:
            driver.score(text[:before], pages=own)
    rows = [
        all_logits(text[before:], before, own)
        for text, own, (before, _) in zip(texts, pages, lengths, strict=True)
    ]
    driver.run(*rows)
    for index, (text, (before, _)) in enumerate(zip(texts, lengths, strict=True)):
        same(driver.logits(index), solo(tiny, text)[before:])


@pytest.mark.parametrize("count", [2, 3, 4, 5, 9, 33])
def test_any_number_of_decodes(tiny: TinyDecoder, count: int) -> None:
    texts = [random_tokens(tiny.spec, 5 + i, seed=i) for i in range(count)]
    driver = Driver(tiny)
    pages = [driver.pages(64) for _ in texts]
    driver.run(*(all_logits(text[:-1], 0, own) for text, own in zip(texts, pages, strict=True)))
    driver.run(*(all_logits(text[-1:], len(text) - 1, own) for text, own in zip(texts, pages, strict=True)))
    for index, text in enumerate(texts):
        same(driver.logits(index), solo(tiny, text)[-1:])


def test_cached_is_cold(tiny: TinyDecoder) -> None:
    """Another sequence goes on from pages that a first one has filled and left."""
    prefix, tail = random_tokens(tiny.spec, 2 * PAGE), random_tokens(tiny.spec, 90, seed=5)
    driver = Driver(tiny)
    shared = driver.pages(2 * PAGE)
    driver.score(prefix + tail[::-1], pages=shared + driver.pages(90))
    warm = driver.score(tail, position=2 * PAGE, pages=shared + driver.pages(90))
    same(warm, solo(tiny, prefix + tail)[2 * PAGE :])


def test_shared_is_alone(tiny: TinyDecoder) -> None:
    """Rows that have six, five, two, one or no leading pages in common, decoding and reading prompts."""
    prefix = random_tokens(tiny.spec, 6 * PAGE)
    depths = [6, 6, 5, 1, 6, 0, 2, 6]
    tails = [random_tokens(tiny.spec, 1 if i % 2 else 20 + i, seed=10 + i) for i in range(len(depths))]
    driver = Driver(tiny, num_threads=2)
    common = driver.pages(6 * PAGE)
    driver.score(prefix, pages=common)
    rows = [
        all_logits(tail, depth * PAGE, common[:depth] + driver.pages(len(tail)))
        for depth, tail in zip(depths, tails, strict=True)
    ]
    driver.run(*rows)
    for index, (depth, tail) in enumerate(zip(depths, tails, strict=True)):
        same(driver.logits(index), solo(tiny, prefix[: depth * PAGE] + tail)[depth * PAGE :])


def test_many_decodes_over_one_prefix(tiny: TinyDecoder) -> None:
    """Nineteen streams, each at a position of its own beyond five pages they share."""
    prefix = random_tokens(tiny.spec, 5 * PAGE)
    driver = Driver(tiny, num_threads=2)
    common = driver.pages(5 * PAGE)
    driver.score(prefix, pages=common)
    tails = [random_tokens(tiny.spec, 2 + 3 * i, seed=40 + i) for i in range(19)]
    pages = [common + driver.pages(len(tail)) for tail in tails]
    starts = [5 * PAGE] * len(tails)
    driver.run(*(all_logits(t[:-1], p, own) for t, p, own in zip(tails, starts, pages, strict=True)))
    ends = [5 * PAGE + len(tail) - 1 for tail in tails]
    driver.run(*(all_logits(t[-1:], p, own) for t, p, own in zip(tails, ends, pages, strict=True)))
    for index in range(0, len(tails), 3):
        same(driver.logits(index), solo(tiny, prefix + tails[index])[-1:])


def test_pages_stand_anywhere(tiny: TinyDecoder) -> None:
    tokens = random_tokens(tiny.spec, 330)
    driver = Driver(tiny, num_pages=40)
    order = [31, 2, 17, 39, 0, 8]
    same(driver.score(tokens, pages=order), solo(tiny, tokens))


def test_pages_forget_what_was_there(tiny: TinyDecoder) -> None:
    tokens = random_tokens(tiny.spec, 100)
    driver = Driver(tiny)
    pages = driver.pages(128)
    driver.score(random_tokens(tiny.spec, 128, seed=7), pages=pages)
    same(driver.score(tokens, pages=pages), solo(tiny, tokens))


def test_a_copied_page_is_the_page(tiny: TinyDecoder) -> None:
    tokens = random_tokens(tiny.spec, 140)
    driver = Driver(tiny)
    pages = driver.pages(140)
    driver.score(tokens[:100], pages=pages)
    (copy,) = driver.pages(1)
    driver.decoder.copy_page(pages[1], copy)
    # What the original does afterwards is none of the copy's business.
    driver.score(random_tokens(tiny.spec, 20, seed=3), position=100, pages=pages)
    forked = driver.score(tokens[100:], position=100, pages=[pages[0], copy, pages[2]])
    same(forked, solo(tiny, tokens)[100:])


def test_a_page_that_was_elsewhere_meanwhile_is_the_page(tiny: TinyDecoder) -> None:
    tokens = random_tokens(tiny.spec, 140)
    first, second = Driver(tiny), Driver(tiny)
    pages = first.pages(140)
    first.score(tokens[:100], pages=pages)  # the second page is written in part
    other = second.pages(140)[::-1]
    second.score(random_tokens(tiny.spec, 140, seed=3), pages=other)
    for source, destination in zip(pages[:2], other, strict=False):
        held = first.decoder.read_page(source)
        assert len(held) == first.decoder.page_bytes
        second.decoder.write_page(destination, memoryview(held))
        assert second.decoder.read_page(destination) == held
    same(second.score(tokens[100:], position=100, pages=other), solo(tiny, tokens)[100:])


@pytest.mark.parametrize("num_threads", [2, 3])
def test_threads_change_nothing(tiny: TinyDecoder, num_threads: int) -> None:
    tokens = random_tokens(tiny.spec, 270)
    expected = solo(tiny, tokens)
    driver = Driver(tiny, num_threads=num_threads)
    assert driver.decoder.num_threads == num_threads
    pages = driver.pages(270)
    same(driver.score(tokens, pages=pages), expected)
    # In steps of one to three rows threads hardly wait for each other: a missing barrier shows now and then.
    for turn in range(600):
        start = 267 + turn % 3
        same(driver.score(tokens[start:], position=start, pages=pages), expected[start:])


def test_logits_last_is_the_last_of_all(tiny: TinyDecoder) -> None:
    """A sampler sees the same logits whether they were asked for or not."""
    tokens = random_tokens(tiny.spec, 80)
    driver = Driver(tiny)
    chosen = []
    for logits in (_native.Logits.LAST, _native.Logits.ALL):
        slot = driver.decoder.open_sampler(seed=3, top_logprobs=5)
        row = _native.Row(tokens=tokens, position=0, pages=driver.pages(80), sampler=slot, logits=logits)
        ((result,),) = driver.run(row)
        chosen.append((result.tokens, result.logprobs, result.top))
    assert chosen[0] == chosen[1]
