"""Every top-level field of a chat body is honoured or refused by name; null is absent."""

from __future__ import annotations

from typing import Any

import pytest

from pennyweight.answers.chat_fields import HONOURED, NEUTRAL
from pennyweight.answers.chat_schema import chat_schema, parse_chat
from pennyweight.answers.conversation import ToolChoice
from pennyweight.answers.fields import ParameterError
from pennyweight.answers.options import JsonObject, JsonSchema
from pennyweight.answers.sampling_fields import SAMPLING_FIELDS
from pennyweight.answers.shared_fields import ADVISORY

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}

ALL = [item.name for item in (*HONOURED, *ADVISORY, *NEUTRAL)]
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
    "prompt_cache_retention": "24h",
    "prompt_cache_options": {"ttl": 1},
    "client_metadata": {"a": 1},
    "service_tier": "flex",
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "functions": [{"name": "f"}],
    "function_call": "auto",
    "response_format": {"type": "json_object"},
    "prediction": {"type": "content", "content": "x"},
    "chat_template_kwargs": {"thinking": False},
    "usage": {"include": True},
    "store": True,
}


_OTHER = {"model", "messages", "top_logprobs", "stream_options"}


def refused(**fields: object) -> ParameterError:
    with pytest.raises(ParameterError) as caught:
        parse_chat({**BODY, **fields})
    assert caught.value.status == 400
    assert caught.value.param is not None
    assert caught.value.param in caught.value.message
    return caught.value


@pytest.mark.parametrize("field", [f.name for f in (*HONOURED, *ADVISORY) if f.name not in _OTHER])
def test_every_known_field_is_accepted(field: str) -> None:
    parse_chat({**BODY, field: EXAMPLES[field]})


def test_sampling_reaches_the_options() -> None:
    names = {field.name for field in SAMPLING_FIELDS} - {"max_tokens", "top_logprobs"} | {"stream"}
    fields = {name: EXAMPLES[name] for name in names}
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
    assert (chat.stream, chat.shape.include_usage) == (True, True)


@pytest.mark.parametrize("field", sorted(set(ALL) - {"model", "messages"}))
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
    assert (chat.stream, chat.shape.include_usage, chat.options.num_choices, chat.ignored) == (
        False,
        False,
        1,
        (),
    )


def test_an_unknown_field_is_refused_with_the_nearest() -> None:
    error = refused(temprature=1)
    assert error.code == "unknown_parameter"
    assert error.param == "temprature"
    assert "Did you mean 'temperature'?" in error.message


def test_all_unknown_fields_are_named_before_anything_else() -> None:
    error = refused(n="many", temprature=1, wat=2, **{"x" * 999: 3})
    assert (error.code, error.param) == ("unknown_parameter", "temprature")
    assert "Unknown parameters: 'temprature', 'wat', 'xxx" in error.message
    assert error.message.endswith("Did you mean 'temperature'?")
    error = refused(max_output_tokens=5)
    assert error.message.endswith("Here it is called 'max_completion_tokens'.")
    error = refused(**{f"field_{number}": 1 for number in range(5000)})
    assert "'field_15' and 4984 more." in error.message
    assert len(refused(**{"y" * 100_000: 1}).message) < 300


@pytest.mark.parametrize("neutral", NEUTRAL, ids=lambda neutral: neutral.name)
def test_neutral_values_pass_and_others_are_refused_by_name(neutral: Any) -> None:
    for value in neutral.values:
        assert parse_chat({**BODY, neutral.name: value}) == parse_chat(BODY)
    error = refused(**{neutral.name: {"some": "thing"}})
    assert (error.param, error.code) == (neutral.name, "unsupported_parameter")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("store", "yes"),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "alloy"}),
        ("reasoning_effort", "high"),
        ("web_search_options", {}),
    ],
)
def test_what_cannot_be_done_is_refused(field: str, value: object) -> None:
    assert refused(**{field: value}).param == field


def test_formats_and_predictions_reach_the_options() -> None:
    schema = {"type": "object"}
    strict = {"name": "n", "schema": schema, "strict": True, "description": "d"}
    chat = parse_chat({**BODY, "response_format": {"type": "json_schema", "json_schema": strict}})
    assert chat.options.response_format == JsonSchema(
        name="n", schema=schema, strict=True, description="d", param="response_format.json_schema.schema"
    )
    chat = parse_chat({**BODY, "response_format": {"type": "json_object"}})
    assert chat.options.response_format == JsonObject()
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    for content in ("ab", parts):
        assert (
            parse_chat({**BODY, "prediction": {"type": "content", "content": content}}).options.prediction
            == "ab"
        )
    chat = parse_chat({**BODY, "chat_template_kwargs": {"thinking": False}})
    assert chat.options.chat_template_kwargs == {"thinking": False}


def test_the_older_names_of_tools() -> None:
    chat = parse_chat({**BODY, "functions": [{"name": "f"}], "function_call": {"name": "f"}})
    assert [tool.name for tool in chat.conversation.tools] == ["f"]
    assert chat.conversation.tool_choice == ToolChoice(mode="required", names=frozenset({"f"}), once=True)
    assert (chat.shape.call_style, chat.conversation.parallel_tool_calls) == ("function_call", False)
    assert refused(functions=[{"name": "f"}], tools=[]).param == "functions"
    assert refused(function_call="auto", tool_choice="auto").param == "function_call"


def test_what_is_dropped_from_nested_objects_is_named() -> None:
    tool = {"type": "function", "cache_control": {}, "function": {"name": "f", "opts": 1, "strict": None}}
    chat = parse_chat({**BODY, "tools": [tool, {"type": "web_search"}]})
    assert chat.ignored == ("tools[].cache_control", "tools[].function.opts", "tools[web_search]")


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
        ("metadata", {"k" * 65: ""}, "property_name_above_max_length"),
        ("metadata", {"\ud800": ""}, "invalid_value"),
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
    assert parse_chat({**BODY, "stream": True, "stream_options": {}}).shape.include_usage is False
    assert (
        parse_chat({**BODY, "stream": True, "stream_options": {"include_usage": None}}).shape.include_usage
        is False
    )
    assert refused(stream=True, stream_options={"usage": True}).param == "stream_options.usage"
    assert (
        refused(stream=True, stream_options={"include_usage": "yes"}).param == "stream_options.include_usage"
    )
    parse_chat({**BODY, "stream": True, "stream_options": {"include_obfuscation": False}})
    parse_chat({**BODY, "stream": True, "stream_options": {"include_obfuscation": True}})
    refused(stream=True, stream_options={"include_obfuscation": 1})


def test_the_schema_describes_every_field() -> None:
    described = chat_schema()["properties"]
    assert set(described) == set(ALL)
    assert len(ALL) == len(set(ALL))
    assert all(described[name]["description"] for name in ALL)
