"""Every top-level field of a chat body is honoured or refused by name; null is absent."""

from __future__ import annotations

from typing import Any

import pytest

from pennyweight.answers.chat_schema import FIELDS, NEUTRAL, chat_schema, parse_chat
from pennyweight.answers.fields import ParameterError

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}

EXAMPLES: dict[str, object] = {
    "max_completion_tokens": 5,
    "max_tokens": 5,
    "temperature": 0.5,
    "top_p": 0.5,
    "n": 2,
    "stop": ["a", "b"],
    "seed": -1,
    "presence_penalty": -2,
    "frequency_penalty": 2,
    "logit_bias": {"5": -100},
    "logprobs": True,
    "top_k": 3,
    "min_p": 0.1,
    "repetition_penalty": 1.1,
    "stop_token_ids": [1],
    "min_tokens": 1,
    "ignore_eos": True,
    "stream": True,
    "user": "u",
    "metadata": {"a": "b"},
    "safety_identifier": "s",
    "prompt_cache_key": "k",
}


def refused(**fields: object) -> ParameterError:
    with pytest.raises(ParameterError) as caught:
        parse_chat({**BODY, **fields})
    assert caught.value.status == 400
    assert caught.value.param is not None
    assert caught.value.param in caught.value.message
    return caught.value


@pytest.mark.parametrize("field", [f.name for f in FIELDS if f.name not in ("model", "top_logprobs")])
def test_every_known_field_is_accepted(field: str) -> None:
    parse_chat({**BODY, field: EXAMPLES[field]})


def test_sampling_reaches_the_options() -> None:
    fields = {name: value for name, value in EXAMPLES.items() if name != "max_tokens"}
    chat = parse_chat({**BODY, **fields, "top_logprobs": 4, "stream_options": {"include_usage": True}})
    sampling = chat.options.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.5, 0.5, 3, 0.1)
    assert (sampling.max_tokens, sampling.min_tokens, sampling.seed) == (5, 1, 2**64 - 1)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (-2, 2)
    assert sampling.repetition_penalty == 1.1
    assert sampling.logit_bias == {5: -100}
    assert sampling.stop_token_ids == {1}
    assert sampling.ignore_eos
    assert sampling.top_logprobs == 4
    assert (chat.options.stop, chat.options.num_choices) == (("a", "b"), 2)
    assert (chat.stream, chat.include_usage) == (True, True)


@pytest.mark.parametrize("field", sorted({*(f.name for f in FIELDS), *(n.name for n in NEUTRAL)} - {"model"}))
def test_null_is_absent(field: str) -> None:
    assert parse_chat({**BODY, field: None}) == parse_chat(BODY)


def test_an_answer_has_openais_defaults() -> None:
    chat = parse_chat(BODY)
    sampling = chat.options.sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed) == (
        1.0,
        1.0,
        None,
        None,
    )
    assert (chat.stream, chat.include_usage, chat.options.num_choices, chat.ignored) == (False, False, 1, ())


def test_an_unknown_field_is_refused_with_the_nearest() -> None:
    error = refused(temprature=1)
    assert error.code == "unknown_parameter"
    assert error.param == "temprature"
    assert "Did you mean 'temperature'?" in error.message


@pytest.mark.parametrize("neutral", NEUTRAL, ids=lambda neutral: neutral.name)
def test_neutral_values_pass_and_others_are_refused_by_name(neutral: Any) -> None:
    for value in neutral.values:
        assert parse_chat({**BODY, neutral.name: value}) == parse_chat(BODY)
    error = refused(**{neutral.name: {"some": "thing"}})
    assert (error.param, error.code) == (neutral.name, "unsupported_parameter")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("tool_choice", "auto"),
        ("response_format", {"type": "json_object"}),
        ("store", True),
        ("prediction", {"type": "content", "content": "x"}),
        ("modalities", ["text", "audio"]),
        ("service_tier", "priority"),
    ],
)
def test_what_comes_later_is_refused(field: str, value: object) -> None:
    assert refused(**{field: value}).param == field


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("temperature", 2.1, "decimal_above_max_value"),
        ("temperature", -0.1, "decimal_below_min_value"),
        ("temperature", "1", "invalid_type"),
        ("temperature", True, "invalid_type"),
        ("top_p", 1.5, "decimal_above_max_value"),
        ("n", 0, "integer_below_min_value"),
        ("n", 1.0, "invalid_type"),
        ("n", 129, "integer_above_max_value"),
        ("max_tokens", 0, "integer_below_min_value"),
        ("seed", 2**63, "integer_above_max_value"),
        ("stop", ["x"] * 17, "array_above_max_length"),
        ("stop", 7, "invalid_type"),
        ("stop", "", "invalid_value"),
        ("stream", 1, "invalid_type"),
        ("logit_bias", {"x": 1}, "invalid_value"),
        ("logit_bias", [1], "invalid_type"),
        ("metadata", {str(i): "" for i in range(17)}, "object_above_max_properties"),
        ("model", 5, "invalid_type"),
        ("model", "", "invalid_value"),
        ("messages", "Hi", "invalid_type"),
        ("messages", [], "empty_array"),
        ("user", "\ud800", "invalid_value"),
    ],
)
def test_types_and_ranges(field: str, value: object, code: str) -> None:
    error = refused(**{field: value})
    assert (error.param, error.code) == (field, code)


def test_an_element_is_named_by_its_place() -> None:
    assert refused(stop=["a", 5]).param == "stop[1]"
    assert refused(logit_bias={"7": 101}).param == "logit_bias.7"


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_required_fields(missing: str) -> None:
    for body in ({k: v for k, v in BODY.items() if k != missing}, {**BODY, missing: None}):
        with pytest.raises(ParameterError) as caught:
            parse_chat(body)
        assert (caught.value.param, caught.value.code) == (missing, "missing_required_parameter")


def test_fields_that_contradict_each_other() -> None:
    assert refused(max_tokens=1, max_completion_tokens=1).code == "invalid_parameter_combination"
    assert refused(top_logprobs=1).param == "top_logprobs"
    assert refused(min_tokens=3, max_tokens=2).param == "min_tokens"
    assert refused(stream_options={"include_usage": True}).param == "stream_options"


def test_stream_options() -> None:
    assert parse_chat({**BODY, "stream": True, "stream_options": {}}).include_usage is False
    assert (
        parse_chat({**BODY, "stream": True, "stream_options": {"include_usage": None}}).include_usage is False
    )
    assert refused(stream=True, stream_options={"usage": True}).param == "stream_options.usage"
    assert (
        refused(stream=True, stream_options={"include_usage": "yes"}).param == "stream_options.include_usage"
    )
    parse_chat({**BODY, "stream": True, "stream_options": {"include_obfuscation": False}})
    refused(stream=True, stream_options={"include_obfuscation": True})


def test_the_schema_describes_every_field() -> None:
    described = chat_schema()["properties"]
    expected = {*(f.name for f in FIELDS), *(n.name for n in NEUTRAL), "messages", "stream_options"}
    assert set(described) == expected
    assert all(described[name]["description"] for name in expected)
