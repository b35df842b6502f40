"""Settings of a Responses body that are objects or lists: text, reasoning, include, stream_options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.answers.fields import Flag, ParameterError, drop_unknown, missing, unknown, wrong_type
from pennyweight.answers.format_fields import read_json_schema
from pennyweight.answers.options import JsonObject, TextFormat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pennyweight.answers.options import ResponseFormat

LOGPROBS = "message.output_text.logprobs"
# What these add belongs to items that no answer here has.
_ADDS_NOTHING = frozenset(
    {
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
        "message.input_image.image_url",
        "reasoning.encrypted_content",
        "web_search_call.action.sources",
        "web_search_call.results",
    }
)


def wants_logprobs(values: Mapping[str, Any], ignored: set[str]) -> bool:
    """Whether `include` or `top_logprobs` ask for log-probabilities."""
    included = values.get("include", ())
    check_include(included)
    ignored.update(f"include[{name}]" for name in included if name in _ADDS_NOTHING)
    return LOGPROBS in included or values.get("top_logprobs", 0) > 0


def check_include(names: Sequence[str]) -> None:
    """Raise ParameterError for one that OpenAI does not have."""
    for index, name in enumerate(names):
        if name != LOGPROBS and name not in _ADDS_NOTHING:
            known = ", ".join((LOGPROBS, *sorted(_ADDS_NOTHING)))
            message = f"Invalid value for 'include[{index}]': '{name:.80}'; it may be {known}."
            raise ParameterError(message, param=f"include[{index}]", code="invalid_value")


def read_text_format(value: object, ignored: set[str]) -> ResponseFormat:
    """The `format` of `text`, laid out flat. Whether a schema can be enforced is the grammar's to say."""
    if value is None:
        return TextFormat()
    if not isinstance(value, dict):
        raise wrong_type("text", "an object", value)
    drop_unknown(value, {"format", "verbosity"}, "text", ignored)
    if value.get("verbosity") not in (None, "medium"):
        message = "'text.verbosity' is not supported: the model has no verbosity to set."
        raise ParameterError(message, param="text.verbosity", code="unsupported_value")
    form, param = value.get("format"), "text.format"
    if form is None:
        return TextFormat()
    if not isinstance(form, dict):
        raise wrong_type(param, "an object", form)
    drop_unknown(form, {"type", "name", "schema", "strict", "description"}, param, ignored)
    kind = form.get("type")
    if kind == "text":
        return TextFormat()
    if kind == "json_object":
        return JsonObject()
    if kind == "json_schema":
        return read_json_schema(form, param)
    if kind is None:
        raise missing(f"{param}.type")
    message = f"'{param}.type' is {kind!r:.80}; it may be 'text', 'json_object' or 'json_schema'."
    raise ParameterError(message, param=f"{param}.type", code="invalid_value")


def check_reasoning(value: object, ignored: set[str]) -> None:
    """Refuse an effort; a summary of no reasoning is none."""
    if value is None:
        return
    if not isinstance(value, dict):
        raise wrong_type("reasoning", "an object", value)
    if value.get("effort") not in (None, "none"):
        message = "'reasoning.effort' is not supported: the model does not reason before it answers."
        raise ParameterError(message, param="reasoning.effort", code="unsupported_value")
    drop_unknown(value, {"effort"}, "reasoning", ignored)


def check_stream_options(value: object, *, stream: bool) -> None:
    """Padding of events may be asked for and is not given."""
    if value is None:
        return
    if not isinstance(value, dict):
        raise wrong_type("stream_options", "an object", value)
    if not stream:
        message = "'stream_options' is only allowed when 'stream' is true."
        raise ParameterError(message, param="stream_options", code="invalid_parameter_combination")
    for key, item in value.items():
        if key != "include_obfuscation":
            raise unknown(f"stream_options.{key}", ["include_obfuscation"])
        if item is not None:
            Flag().read(item, "stream_options.include_obfuscation")
