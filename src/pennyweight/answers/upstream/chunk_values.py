"""Values of a chat completion's chunk, each checked: what a service sends may be anything."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from pennyweight.answers.events import TokenDetail
from pennyweight.answers.upstream.event_stream import StreamError
from pennyweight.core import Usage

_LARGEST_COUNT = 2**31  # tokens: prices in picodollars of as many still fit 64 bits
_MOST_ALTERNATIVES = 20


def parse_object(data: bytes) -> dict[str, Any]:
    """One JSON object. Raises StreamError."""
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise StreamError("an event is not valid JSON") from error
    return as_object(value, "an event")


def as_object(value: object, what: str) -> dict[str, Any]:
    """`value`, or an empty object for null."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise StreamError(f"{what} is not a JSON object")
    return value


def as_list(value: object, what: str) -> list[Any]:
    """`value`, or an empty list for null."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise StreamError(f"{what} is not an array")
    return value


def as_text(value: object, what: str) -> str:
    """`value` as text that UTF-8 can hold; null is empty. Halves of surrogate pairs become "?"."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise StreamError(f"{what} is not a text")
    return value.encode("utf-8", "replace").decode("utf-8")


def as_index(value: object, what: str, *, below: int) -> int:
    """A whole number from 0, below `below`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < below:
        raise StreamError(f"{what} is not a number from 0 to {below - 1}")
    return value


def read_usage(value: object) -> Usage:
    """Counts; those that are not there are 0."""
    usage = as_object(value, "the usage")
    prompt = as_object(usage.get("prompt_tokens_details"), "prompt_tokens_details")
    written = as_object(usage.get("completion_tokens_details"), "completion_tokens_details")
    num_prompt = _count(usage, "prompt_tokens")
    return Usage(
        prompt_tokens=num_prompt,
        completion_tokens=_count(usage, "completion_tokens"),
        # Some services count all that their cache held; what is not of the prompt would lower its price.
        cached_tokens=min(_count(prompt, "cached_tokens"), num_prompt),
        accepted_prediction_tokens=_count(written, "accepted_prediction_tokens"),
        rejected_prediction_tokens=_count(written, "rejected_prediction_tokens"),
    )


def read_details(value: object, key: str) -> tuple[TokenDetail, ...]:
    """The tokens under `key` of a choice's `logprobs`."""
    listed = as_list(as_object(value, "logprobs").get(key), f"logprobs.{key}")
    return tuple(_detail(item, alternatives=True) for item in listed)


def _detail(value: object, *, alternatives: bool) -> TokenDetail:
    item = as_object(value, "a token of logprobs")
    number = item.get("logprob")
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise StreamError("a logprob is not a number")
    try:
        logprob = float(number)
    except OverflowError as error:
        raise StreamError("a logprob is not a finite number") from error
    if not math.isfinite(logprob):
        raise StreamError("a logprob is not a finite number")
    others = as_list(item.get("top_logprobs"), "top_logprobs") if alternatives else []
    top = tuple(_detail(other, alternatives=False) for other in others[:_MOST_ALTERNATIVES])
    return TokenDetail(_token_bytes(item), logprob, top)


def _token_bytes(item: dict[str, Any]) -> bytes:
    spelt = as_list(item.get("bytes"), "the bytes of a token")
    if not spelt:
        return as_text(item.get("token"), "a token").encode()
    return bytes(as_index(byte, "a byte of a token", below=256) for byte in spelt)


def _count(counts: dict[str, Any], name: str) -> int:
    value = counts.get(name)
    return 0 if value is None else as_index(value, name, below=_LARGEST_COUNT)


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("no JSON")
