"""What is refused at submission, and what the refusal says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pennyweight.core import EmbeddingSpan, Request, SamplingParams, TokenSpan
from pennyweight.engine.limits import Limits
from pennyweight.engine.prompt import FlatPrompt
from pennyweight.errors import ContextLengthError, InvalidRequestError
from tests.engine.requests import GREEDY, NAMESPACE, request

LIMITS = Limits(vocab_size=100, context_length=256, num_pages=16)


def check(wanted: Request, limits: Limits = LIMITS) -> None:
    limits.check(wanted, FlatPrompt.of(wanted.prompt))


def test_the_longest_prompt_leaves_room_for_one_token() -> None:
    check(request([1] * 255))
    with pytest.raises(ContextLengthError, match=r"256 tokens.*holds 256") as caught:
        check(request([1] * 256))
    assert caught.value.code == "context_length_exceeded"


def test_a_prompt_larger_than_the_pool_is_refused_with_the_numbers() -> None:
    small = Limits(vocab_size=100, context_length=256, num_pages=2)
    check(request([1] * 127), small)
    with pytest.raises(ContextLengthError, match=r"128 tokens.*2 pages of 64 tokens, 128 in all"):
        check(request([1] * 128), small)


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="empty"):
        check(request([]))


@pytest.mark.parametrize("token", [-1, 100])
def test_unknown_tokens_are_refused_by_name(token: int) -> None:
    for wanted, param in (
        (request([token]), "prompt"),
        (request([1], draft=(token,)), "draft"),
        (request([1], sampling=replace(GREEDY, logit_bias={token: 1.0})), "logit_bias"),
        (request([1], sampling=replace(GREEDY, stop_token_ids=frozenset({token}))), "stop_token_ids"),
    ):
        with pytest.raises(InvalidRequestError, match=f"Token {token} .* 100 tokens") as caught:
            check(wanted)
        assert caught.value.param == param


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 1e39),
        ("top_k", 2**31),
        ("top_p", 1e-50),
        ("repetition_penalty", 1e-50),
        ("repetition_penalty", 1e39),
        ("presence_penalty", -1e39),
        ("frequency_penalty", 1e39),
        ("logit_bias", {1: 1e39}),
        ("min_tokens", 2**31),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("min_p", -0.1),
        ("repetition_penalty", 0.0),
        ("presence_penalty", float("nan")),
        ("frequency_penalty", float("inf")),
        ("logit_bias", {1: float("nan")}),
        ("seed", 2**64),
        ("max_tokens", -1),
        ("min_tokens", -1),
        ("top_logprobs", 21),
    ],
)
def test_sampling_out_of_range_is_refused_by_name(param: str, value: Any) -> None:
    with pytest.raises(InvalidRequestError, match=f"{param} is .* must be") as caught:
        check(request([1], sampling=replace(GREEDY, **{param: value})))
    assert caught.value.param == param


@pytest.mark.parametrize(("limits", "holds"), [(LIMITS, 256), (replace(LIMITS, num_pages=2), 128)])
def test_a_text_that_must_outgrow_the_context_is_refused(limits: Limits, holds: int) -> None:
    check(request([1] * 100, sampling=replace(GREEDY, min_tokens=holds - 100)), limits)
    beyond = request([1] * 100, sampling=replace(GREEDY, min_tokens=holds - 99))
    with pytest.raises(InvalidRequestError, match=f"at most {holds - 100}: 100 of {holds} tokens") as caught:
        check(beyond, limits)
    assert (caught.value.status, caught.value.param) == (400, "min_tokens")


def test_neutral_and_extreme_sampling_passes() -> None:
    check(request([1], sampling=SamplingParams()))
    check(request([1], sampling=SamplingParams(temperature=1e-50, top_p=1e-40, top_k=2**31 - 1)))


@pytest.mark.parametrize("choices", [0, 129])
def test_the_number_of_choices_is_bounded(choices: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"n is {choices}"):
        check(request([1], num_choices=choices))


def test_the_number_of_choices_fits_the_queue() -> None:
    with pytest.raises(InvalidRequestError, match="from 1 to 4"):
        check(request([1], num_choices=5), replace(LIMITS, max_requests=4))


def test_an_adapter_and_its_cache_go_together() -> None:
    check(request([1], namespace=replace(NAMESPACE, adapter="poet"), adapter="poet"))
    with pytest.raises(InvalidRequestError, match=r"'poet'.*namespace's is None") as caught:
        check(request([1], adapter="poet"))
    assert caught.value.param == "model"


@pytest.mark.parametrize(("positions", "size"), [(0, 8), (2, 0), (2, 12), (3, 8)])
def test_malformed_embeddings_are_refused(positions: int, size: int) -> None:
    parts = (TokenSpan((1,)), EmbeddingSpan(b"h", positions, bytes(size)))
    with pytest.raises(InvalidRequestError, match=f"{positions} positions has {size} bytes"):
        check(Request(id="r", prompt=parts, sampling=GREEDY, namespace=NAMESPACE))
