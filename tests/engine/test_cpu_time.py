"""Processor time goes to the requests it was spent on; the toy decoder's steps cost a second each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pennyweight.engine.limits import Limits
from pennyweight.engine.loop import StepLoop
from tests.engine import toy_decoder
from tests.engine.listening import Listening
from tests.engine.requests import GREEDY, request, tokens
from tests.engine.toy_decoder import END_TOKENS, VOCAB_SIZE, Decoder

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN_S = 5.0  # the engine's own thread cannot have taken longer beside steps that cost nothing really


@pytest.fixture
def decoder() -> Decoder:
    return Decoder(num_pages=64)


@pytest.fixture
def loop(decoder: Decoder) -> Iterator[StepLoop]:
    limits = Limits(vocab_size=VOCAB_SIZE, context_length=1024, num_pages=64)
    loop = StepLoop(decoder, toy_decoder, limits=limits, end_tokens=END_TOKENS)
    yield loop
    loop.close()


def test_all_time_is_charged_and_equal_work_costs_the_same(loop: StepLoop, decoder: Decoder) -> None:
    heard = Listening(2)
    handle = loop.submit(request(tokens(40), num_choices=2), heard)
    heard.wait()
    other = Listening()
    second = loop.submit(request(tokens(40, salt=1)), other)
    other.wait()
    assert decoder.steps_run <= handle.cpu_s + second.cpu_s < decoder.steps_run + OWN_S
    assert handle.cpu_s >= 20
    assert second.cpu_s >= 20


def test_a_step_is_shared_by_the_tokens_of_its_rows(loop: StepLoop) -> None:
    long, short = Listening(), Listening()
    sampling = replace(GREEDY, max_tokens=1)
    heavy = loop.submit(request(tokens(600), sampling=sampling), long)
    light = loop.submit(request(tokens(6, salt=2), sampling=sampling), short)
    long.wait()
    short.wait()
    assert heavy.cpu_s > light.cpu_s > 0


def test_what_a_cancelled_request_cost_stays_known(loop: StepLoop) -> None:
    heard = Listening()
    handle = loop.submit(request(tokens(10), sampling=replace(GREEDY, max_tokens=900)), heard)
    heard.wait_for(lambda it: it.num_tokens >= 3)
    handle.cancel()
    heard.wait()
    assert handle.cpu_s >= 3
