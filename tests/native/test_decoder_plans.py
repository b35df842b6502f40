"""Plans of several steps, interruption, end tokens and drafts all give the text of plain decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.native import tiny_decoders
from tests.native.native_decoders import Driver, sampled
from tests.native.tiny_decoders import random_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.native import _native

TINY = tiny_decoders.llama(("Q4_1", "Q8_0"))
LENGTH = 40
GREEDY = {"seed": 0, "temperature": 0.0}
WARM = {"seed": 5, "temperature": 1.3, "top_p": 0.95, "frequency_penalty": 0.4, "top_logprobs": 2}
SAMPLERS = {"greedy": GREEDY, "warm": WARM}


class Text:
    """One sequence that decodes: its tokens, pages, sampler slot and log-probabilities."""

    def __init__(self, driver: Driver, *, prompt: int, room: int = 256, **sampler: Any) -> None:
        self.driver = driver
        self.tokens = random_tokens(TINY.spec, prompt)
        self.prompt = prompt
        self.pages = driver.pages(room)
        self.slot = driver.decoder.open_sampler(prompt=self.tokens, **sampler)
        self.logprobs: list[float] = []
        self.position = 0

    @property
    def output(self) -> list[int]:
        return self.tokens[self.prompt :]

    def row(self, draft: list[int] | None = None) -> _native.Row:
        """Everything not computed yet, and a draft."""
        draft = draft or []
        tokens = self.tokens[self.position :] + draft
        return sampled(tokens, self.position, self.pages, self.slot, draft_length=len(draft))

    def take(self, result: _native.RowResult) -> None:
        self.position = len(self.tokens) + result.accepted_drafts
        self.tokens += result.tokens
        self.logprobs += result.logprobs


def decode(text: Text, *, length: int = LENGTH) -> Text:
    while len(text.output) < length:
        ((result,),) = text.driver.run(text.row())
        text.take(result)
    return text


def plain(sampler: dict[str, Any], *, prompt: int = 50) -> Text:
    return decode(Text(Driver(TINY), prompt=prompt, **sampler))


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
def test_many_steps_are_single_steps(sampler: dict[str, Any]) -> None:
    driver = Driver(TINY, num_threads=2)
    texts = [Text(driver, prompt=prompt, **sampler) for prompt in (50, 3, 63)]
    (first,) = driver.run(*(text.row() for text in texts))
    for text, result in zip(texts, first, strict=True):
        text.take(result)
    steps = driver.run(*(text.row() for text in texts), steps=LENGTH - 1)
    assert len(steps) == LENGTH - 1
    for step in steps:
        for result in step:
            texts[result.row].take(result)
    for text in texts:
        alone = plain(sampler, prompt=text.prompt)
        assert (text.output, text.logprobs) == (alone.output, alone.logprobs)


def test_an_interrupted_plan_goes_on() -> None:
    text = Text(Driver(TINY), prompt=50, **WARM)
    ((result,),) = text.driver.run(text.row())
    text.take(result)
    text.driver.decoder.begin([text.row()], steps=150)
    text.driver.decoder.interrupt()
    done = False
    while not done:
        steps, done = text.driver.decoder.finish()
        for (result,) in steps:
            text.take(result)
    assert len(text.output) < 150
    assert decode(text).output[:LENGTH] == plain(WARM).output
    text.driver.decoder.interrupt()  # idle: no effect on what comes next
    assert len(decode(text, length=len(text.output) + 3).output) >= 3


def test_an_end_token_stops_its_row_only() -> None:
    expected = plain(WARM).output
    end = expected[10]
    length = expected.index(end) + 1
    driver = Driver(TINY)
    texts = [Text(driver, prompt=50, end_tokens=ends, **WARM) for ends in ([end], [])]
    (first,) = driver.run(*(text.row() for text in texts))
    for text, result in zip(texts, first, strict=True):
        text.take(result)
    stops = []
    for step in driver.run(*(text.row() for text in texts), steps=LENGTH - 1):
        for result in step:
            texts[result.row].take(result)
            stops += [result.row] if result.stopped else []
    assert stops == [0]
    assert texts[0].output == expected[:length]
    assert texts[1].output == expected


def test_a_plan_ends_when_all_have_stopped() -> None:
    end = plain(GREEDY).output[5]
    text = Text(Driver(TINY), prompt=50, end_tokens=[end], **GREEDY)
    ((result,),) = text.driver.run(text.row())
    text.take(result)
    steps = text.driver.run(text.row(), steps=100)
    assert steps[-1][0].stopped
    assert len(steps) <= 5


def test_end_tokens_wait_for_min_tokens() -> None:
    expected = plain(GREEDY).output
    text = Text(Driver(TINY), prompt=50, end_tokens=[expected[0], expected[1]], min_tokens=12, **GREEDY)
    decode(text, length=12)
    assert not {expected[0], expected[1]} & set(text.output)


def right(expected: list[int], at: int) -> list[int]:
    return expected[at : at + 4]


def wrong(expected: list[int], at: int) -> list[int]:
    return [(token + 1) % 131 for token in right(expected, at)]


def half_right(expected: list[int], at: int) -> list[int]:
    return right(expected, at)[:2] + wrong(expected, at)[2:]


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
@pytest.mark.parametrize(("make_draft", "accepted"), [(right, 4), (wrong, 0), (half_right, 2)])
def test_drafts_change_only_the_speed(
    sampler: dict[str, Any], make_draft: Callable[[list[int], int], list[int]], accepted: int
) -> None:
    alone = plain(sampler)
    text = Text(Driver(TINY), prompt=50, **sampler)
    while len(text.output) < LENGTH - 5:
        ((result,),) = text.driver.run(text.row(make_draft(alone.output, len(text.output))))
        assert result.accepted_drafts == accepted
        assert len(result.tokens) == accepted + 1
        text.take(result)
    decode(text)
    assert text.output[:LENGTH] == alone.output
    assert text.logprobs[:LENGTH] == alone.logprobs


def test_drafts_beside_other_rows() -> None:
    alone = plain(WARM)
    driver = Driver(TINY, num_threads=2)
    texts = [Text(driver, prompt=50, **WARM) for _ in range(4)]
    for _ in range(6):
        at = [len(text.output) for text in texts]
        drafts = [
            make(alone.output, start)
            for make, start in zip((right, wrong, half_right, lambda *_: []), at, strict=True)
        ]
        (results,) = driver.run(*(text.row(draft) for text, draft in zip(texts, drafts, strict=True)))
        for result in results:
            texts[result.row].take(result)
    for text in texts:
        assert text.output == alone.output[: len(text.output)]


def test_an_accepted_end_token_ends_the_row() -> None:
    expected = plain(GREEDY).output
    end = expected[2]
    text = Text(Driver(TINY), prompt=50, end_tokens=[end], **GREEDY)
    ((result,),) = text.driver.run(text.row(expected[:5]))
    assert result.tokens == expected[: expected.index(end) + 1]
    assert result.stopped


def test_a_sampler_outlives_its_pages() -> None:
    """Preemption: the pages are lost, the slot is kept, and the text goes on as if nothing had happened."""
    driver = Driver(TINY)
    text = decode(Text(driver, prompt=50, **WARM), length=15)
    text.pages, text.position = driver.pages(256), 0
    decode(text)
    assert (text.output, text.logprobs) == (plain(WARM).output, plain(WARM).logprobs)


def test_a_mask_decides() -> None:
    text = Text(Driver(TINY), prompt=50, **WARM)
    rng = np.random.default_rng(0)
    for _ in range(20):
        allowed = np.zeros(160, np.uint8)
        allowed[rng.integers(0, 131, 3)] = 1
        row = sampled(text.tokens[text.position :], text.position, text.pages, text.slot, masked=True)
        ((result,),) = text.driver.run(row, masks=[(0, np.packbits(allowed, bitorder="little").tobytes())])
        assert allowed[result.tokens[0]]
        text.take(result)


def masks_of(text: list[int], start: int, count: int) -> bytes:
    """Masks of `count` positions that allow the token `text` has there and three others."""
    masks = np.zeros((count, 160), np.uint8)
    for k in range(count):
        masks[k, [text[start + k], *np.random.default_rng(start + k).integers(0, 131, 3)]] = 1
    return np.packbits(masks, axis=1, bitorder="little").tobytes()


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
@pytest.mark.parametrize("given", [1, 3, 5], ids=lambda n: f"{n} masks")
def test_a_draft_under_masks_is_checked_as_far_as_they_reach(sampler: dict[str, Any], given: int) -> None:
    free = plain(sampler).output
    slow, fast = (Text(Driver(TINY), prompt=50, **sampler) for _ in range(2))
    while len(slow.output) < 30:
        row = sampled(slow.tokens[slow.position :], slow.position, slow.pages, slow.slot, masked=True)
        ((result,),) = slow.driver.run(row, masks=[(0, masks_of(free, len(slow.output), 1))])
        slow.take(result)
    while len(fast.output) < 20:
        at = len(fast.output)
        draft = slow.output[at : at + 4]
        tokens = fast.tokens[fast.position :] + draft
        row = sampled(tokens, fast.position, fast.pages, fast.slot, draft_length=4, masked=True)
        ((result,),) = fast.driver.run(row, masks=[(0, masks_of(free, at, given))])
        assert (len(result.tokens), result.accepted_drafts) == (given, given - 1)
        fast.take(result)
    assert fast.output == slow.output[: len(fast.output)]
    assert fast.logprobs == slow.logprobs[: len(fast.logprobs)]


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
def test_tokens_taken_without_sampling_count(sampler: dict[str, Any]) -> None:
    """The slot goes on as if it had sampled them: penalties and the random counter are in step."""
    alone = plain(sampler).output
    text = Text(Driver(TINY), prompt=50, **sampler)
    decode(text, length=10)
    text.tokens += alone[10:14]
    row = sampled(text.tokens[text.position :], text.position, text.pages, text.slot, taken=alone[10:14])
    ((result,),) = text.driver.run(row)
    text.take(result)
    assert decode(text).output[:LENGTH] == alone
