"""The body of `POST /v1/chat/completions` becomes a `ChatRequest`: fields are honoured or refused by name.

Three tables say everything: `FIELDS` are honoured (or advisory: they ask nothing of the answer), `NEUTRAL`
fields are taken only with values that change nothing, and whatever is in neither is unknown and refused.
`null` is absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pennyweight.answers.chat_messages import MESSAGES_SCHEMA, read_messages
from pennyweight.answers.fields import Field, Flag, ParameterError, Text, TextMap, unknown, wrong_type
from pennyweight.answers.sampling_fields import SAMPLING_FIELDS, options_from_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.answers.conversation import Conversation
    from pennyweight.answers.options import Options

FIELDS: tuple[Field, ...] = (
    Field(name="model", kind=Text(empty=False), doc="The name of the model, as `GET /v1/models` lists it."),
    *SAMPLING_FIELDS,
    Field(name="stream", kind=Flag(), doc="Send the answer as server-sent events while it is written."),
    Field(name="user", kind=Text(), doc="Accepted; asks nothing of the answer.", advisory=True),
    Field(
        name="metadata",
        kind=TextMap(high=16),
        doc="Accepted; asks nothing of an answer not stored.",
        advisory=True,
    ),
    Field(name="safety_identifier", kind=Text(), doc="Accepted; asks nothing of the answer.", advisory=True),
    Field(
        name="prompt_cache_key",
        kind=Text(),
        doc="Accepted; every prefix is cached without being asked.",
        advisory=True,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neutral:
    """A field of OpenAI's whose `values` change nothing here; others are refused because of `reason`."""

    name: str
    values: tuple[object, ...]
    reason: str


_LATER = "come with a later version"
NEUTRAL: tuple[Neutral, ...] = (
    Neutral(name="tools", values=([],), reason=f"tools {_LATER}"),
    Neutral(name="tool_choice", values=("none",), reason=f"tools {_LATER}"),
    Neutral(name="parallel_tool_calls", values=(True, False), reason=f"tools {_LATER}"),
    Neutral(name="functions", values=([],), reason=f"functions {_LATER}"),
    Neutral(name="function_call", values=("none",), reason=f"functions {_LATER}"),
    Neutral(
        name="response_format",
        values=({"type": "text"},),
        reason=f"answers bound to JSON or a schema {_LATER}",
    ),
    Neutral(name="store", values=(False,), reason=f"stored answers {_LATER}"),
    Neutral(name="prediction", values=(), reason=f"predicted outputs {_LATER}"),
    Neutral(name="modalities", values=(["text"],), reason="the model answers in text"),
    Neutral(name="audio", values=(), reason="the model answers in text"),
    Neutral(name="service_tier", values=("auto", "default"), reason="there is one tier of service"),
    Neutral(name="prompt_cache_retention", values=("in_memory",), reason="prefixes are cached in memory"),
    Neutral(name="prompt_cache_options", values=({},), reason="every prefix is cached without being asked"),
    Neutral(name="reasoning_effort", values=("none",), reason="the model does not reason before it answers"),
    Neutral(name="verbosity", values=("medium",), reason="the model has no verbosity to set"),
    Neutral(name="web_search_options", values=(), reason="the model does not search the web"),
    Neutral(name="moderation", values=(), reason=f"moderations {_LATER}"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A chat body understood. `ignored` names what was dropped from inside the messages."""

    model: str
    conversation: Conversation
    options: Options
    stream: bool
    include_usage: bool
    ignored: tuple[str, ...]


def parse_chat(body: Mapping[str, object]) -> ChatRequest:
    """Raises ParameterError naming the field that is missing, unknown, malformed or not supported."""
    values = _read_fields(body)
    for name in ("model", "messages"):
        if body.get(name) is None:
            message = f"Missing required parameter: '{name}'."
            raise ParameterError(message, param=name, code="missing_required_parameter")
    ignored: set[str] = set()
    stream = values.get("stream", False)
    return ChatRequest(
        model=values["model"],
        conversation=read_messages(body["messages"], ignored=ignored),
        options=options_from_values(values),
        stream=stream,
        include_usage=_include_usage(body.get("stream_options"), stream=stream),
        ignored=tuple(sorted(ignored)),
    )


def chat_schema() -> dict[str, Any]:
    """The body as JSON Schema, for the HTTP interface's own description."""
    properties: dict[str, Any] = {"messages": {**MESSAGES_SCHEMA, "description": "The conversation so far."}}
    properties |= {field.name: field.schema for field in FIELDS}
    properties["stream_options"] = {
        "type": "object",
        "properties": {"include_usage": {"type": "boolean"}},
        "description": "With `stream`: `include_usage` sends the usage in one more chunk at the end.",
    }
    for neutral in NEUTRAL:
        allowed = [*neutral.values, None]
        properties[neutral.name] = {
            "enum": allowed,
            "description": f"Other values are refused: {neutral.reason}.",
        }
    return {
        "type": "object",
        "required": ["model", "messages"],
        "properties": properties,
        "additionalProperties": False,
    }


def _read_fields(body: Mapping[str, object]) -> dict[str, Any]:
    known = {field.name: field for field in FIELDS}
    neutral = {item.name: item for item in NEUTRAL}
    values = {}
    for name, value in body.items():
        if name in ("messages", "stream_options"):
            continue
        if name not in known and name not in neutral:
            raise unknown(name, [*known, *neutral, "messages", "stream_options"])
        if value is None:
            continue
        if name in known:
            values[name] = known[name].kind.read(value, name)
        elif not any(type(value) is type(item) and value == item for item in neutral[name].values):
            message = f"'{name}' is not supported: {neutral[name].reason}."
            raise ParameterError(message, param=name, code="unsupported_parameter")
    return values


def _include_usage(value: object, *, stream: bool) -> bool:
    if value is None:
        return False
    if not isinstance(value, dict):
        raise wrong_type("stream_options", "an object", value)
    if not stream:
        message = "'stream_options' is only allowed when 'stream' is true."
        raise ParameterError(message, param="stream_options", code="invalid_parameter_combination")
    for key, item in value.items():
        if key == "include_obfuscation" and item in (None, False):
            continue
        if key == "include_obfuscation":
            message = "'stream_options.include_obfuscation' is not supported; send false or leave it out."
            raise ParameterError(message, param=f"stream_options.{key}", code="unsupported_value")
        if key != "include_usage":
            raise unknown(f"stream_options.{key}", ["include_usage", "include_obfuscation"])
    include = value.get("include_usage")
    return False if include is None else Flag().read(include, "stream_options.include_usage")
