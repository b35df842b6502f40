"""Every top-level field of a plain completion is honoured or refused by name; prompts come in four forms."""

from __future__ import annotations

from typing import Any

import pytest

from pennyweight.answers.completion_fields import COMPLETION_FIELDS
from pennyweight.answers.completion_schema import parse_completion, read_prompts
from pennyweight.answers.fields import ParameterError

BODY: dict[str, Any] = {"model": "m", "prompt": "Hi"}


def refused(**fields: object) -> ParameterError:
    with pytest.raises(ParameterError) as caught:
        parse_completion({**BODY, **fields})
    assert caught.value.status == 400
    assert caught.value.param is not None
    assert caught.value.param in caught.value.message
    return caught.value


def test_a_bare_body_has_openais_defaults() -> None:
    request = parse_completion(BODY)
    assert [(prompt.content, prompt.param) for prompt in request.prompts] == [("Hi", "prompt")]
    assert request.options.sampling.max_tokens == 16
    assert (request.options.sampling.temperature, request.options.num_choices) == (1.0, 1)
    assert (request.echo, request.stream, request.logprobs) == (False, False, False)
    assert request.options.prompt_logprobs is False


def test_fields_reach_the_options() -> None:
    request = parse_completion(
        {
            **BODY,
            "max_tokens": 5,
            "temperature": 0.5,
            "n": 2,
            "best_of": 2,
            "stop": ["a"],
            "seed": 3,
            "logprobs": 4,
            "echo": True,
            "logit_bias": {"5": -100},
            "presence_penalty": 1,
            "frequency_penalty": 1,
            "top_p": 0.5,
            "top_k": 7,
            "min_p": 0.1,
            "repetition_penalty": 1.5,
            "stop_token_ids": [9],
            "min_tokens": 2,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
            "user": "u",
        }
    )
    sampling = request.options.sampling
    assert (sampling.max_tokens, sampling.temperature, sampling.seed, sampling.top_logprobs) == (5, 0.5, 3, 4)
    assert (sampling.top_p, sampling.top_k, sampling.min_p, sampling.repetition_penalty) == (0.5, 7, 0.1, 1.5)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (1, 1)
    assert (sampling.logit_bias, sampling.stop_token_ids) == ({5: -100}, {9})
    assert (sampling.min_tokens, sampling.ignore_eos) == (2, True)
    assert (request.options.num_choices, request.options.stop) == (2, ("a",))
    assert request.options.prompt_logprobs
    assert (request.echo, request.stream, request.include_usage) == (True, True, True)


@pytest.mark.parametrize(
    ("prompt", "contents"),
    [
        (["a", ""], ["a", ""]),
        ([1, 2], [(1, 2)]),
        ([[1], [2, 3]], [(1,), (2, 3)]),
    ],
)
def test_forms_of_a_prompt(prompt: object, contents: list[object]) -> None:
    assert [item.content for item in read_prompts(prompt)] == contents


def test_a_prompt_of_a_list_is_named_by_its_place() -> None:
    assert [item.param for item in read_prompts(["a", "b"])] == ["prompt[0]", "prompt[1]"]


@pytest.mark.parametrize(
    ("prompt", "param", "code"),
    [
        (7, "prompt", "invalid_type"),
        ([], "prompt", "empty_array"),
        ([[]], "prompt[0]", "empty_array"),
        ([["a"]], "prompt[0][0]", "invalid_type"),
        ([1, "a"], "prompt[1]", "invalid_type"),
        (["a", [1]], "prompt[1]", "invalid_type"),
        ([[1], "a"], "prompt[1]", "invalid_type"),
        ([-1], "prompt[0]", "integer_below_min_value"),
        ([True], "prompt[0]", "invalid_type"),
        ([{}], "prompt[0]", "invalid_type"),
        (["x"] * 2049, "prompt", "array_above_max_length"),
        (None, "prompt", "missing_required_parameter"),
    ],
)
def test_prompts_that_are_none(prompt: object, param: str, code: str) -> None:
    error = refused(prompt=prompt)
    assert (error.param, error.code) == (param, code)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("suffix", "end", "unsupported_parameter"),
        ("best_of", 3, "unsupported_value"),
        ("max_tokens", 0, "integer_below_min_value"),
        ("logprobs", True, "invalid_type"),
        ("logprobs", 21, "integer_above_max_value"),
        ("top_logprobs", 1, "unknown_parameter"),
        ("max_completion_tokens", 1, "unknown_parameter"),
        ("messages", [], "unknown_parameter"),
        ("echo", 1, "invalid_type"),
        ("stream_options", {}, "invalid_parameter_combination"),
        ("model", None, "missing_required_parameter"),
    ],
)
def test_what_is_refused(field: str, value: object, code: str) -> None:
    error = refused(**{field: value})
    assert (error.param, error.code) == (field, code)


def test_a_prompt_may_be_scored_without_generating() -> None:
    request = parse_completion({**BODY, "max_tokens": 0, "echo": True, "logprobs": 0})
    assert request.options.sampling.max_tokens == 0
    assert request.options.prompt_logprobs


@pytest.mark.parametrize("name", sorted(set(COMPLETION_FIELDS.schema["properties"]) - {"model", "prompt"}))
def test_null_is_absent(name: str) -> None:
    assert parse_completion({**BODY, name: None}) == parse_completion(BODY)


def test_the_schema_describes_every_field() -> None:
    described = COMPLETION_FIELDS.schema["properties"]
    assert all(item["description"] for item in described.values())
