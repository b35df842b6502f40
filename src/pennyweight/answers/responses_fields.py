"""Every top-level field of a body of the Responses interface, and of its counting of input tokens.

(https://platform.openai.com/docs/api-reference/responses/create)
"""

from __future__ import annotations

from typing import Any

from pennyweight.answers.chat_fields import METADATA
from pennyweight.answers.field_tables import FieldTables, Neutral
from pennyweight.answers.fields import Compound, Field, Flag, Integer, ListOf, OneOf, Text
from pennyweight.answers.responses_state import PAST_FIELDS, STATE_FIELDS
from pennyweight.answers.sampling_fields import SAMPLING_FIELDS
from pennyweight.answers.shared_fields import (
    ADVISORY,
    CHAT_TEMPLATE_KWARGS,
    MODEL,
    PARALLEL_TOOL_CALLS,
    TOOL_CHOICE,
)
from pennyweight.answers.tool_fields import MAX_TOOLS
from pennyweight.answers.usage_cost import USAGE_FIELD

_OTHERWISE_HERE = ("max_completion_tokens", "max_tokens", "n", "logprobs", "top_logprobs")
_OBJECT: dict[str, Any] = {"type": "object"}
INPUT_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": _OBJECT}]
}
_TOOLS_SCHEMA: dict[str, Any] = {
    "type": "array",
    "maxItems": MAX_TOOLS,
    "items": {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}},
}
_TEXT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "format": {
            "type": "object",
            "required": ["type"],
            "properties": {"type": {"enum": ["text", "json_object", "json_schema"]}},
        },
        "verbosity": {"enum": ["medium", None]},
    },
}
_REASONING_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"effort": {"enum": ["none", None]}, "summary": {"type": ["string", "null"]}},
}
_STREAM_OPTIONS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"include_obfuscation": {"type": "boolean"}},
}

_ASKED = (
    Field(
        name="input",
        kind=Compound(INPUT_SCHEMA),
        doc="A text, or items: messages, calls of tools and their outputs. Items of reasoning are dropped "
        "and named in `x-pennyweight-ignored`.",
    ),
    Field(
        name="instructions",
        kind=Text(),
        doc="With all messages of `system` and `developer` they become one system message in front.",
    ),
    Field(
        name="tools",
        kind=Compound(_TOOLS_SCHEMA),
        doc="Functions and custom tools. Arguments of `strict` functions always validate. Without `strict` a "
        "function is strict where its schema can be closed: no further properties, all of them required, as "
        "OpenAI does it; `false` leaves it open. `file_search` is done here, before every answer: passages "
        "of its vector stores are shown to the model (5, or `max_num_results`). Other tools that OpenAI runs "
        "itself are skipped and named in `x-pennyweight-ignored`.",
    ),
    TOOL_CHOICE,
    PARALLEL_TOOL_CALLS,
    Field(
        name="text",
        kind=Compound(_TEXT_SCHEMA),
        doc="`format`: `text`, `json_object` or `json_schema`, which the answer then always is, or it ends "
        "as incomplete; keywords that are not enforced without `strict` are named in "
        "`x-pennyweight-ignored`. `verbosity` only `medium`.",
    ),
    Field(
        name="reasoning",
        kind=Compound(_REASONING_SCHEMA),
        doc="Only without effort: the model does not reason before it answers.",
    ),
)
_TRUNCATION = Field(
    name="truncation",
    kind=OneOf(("auto", "disabled")),
    doc="`disabled` (the default) refuses an input that does not fit. `auto` leaves out its oldest turns, "
    "never instructions or the last turn, calls together with their outputs, until `max_output_tokens` fit "
    "beside it (256 if not given, at most half of the context). Not for models elsewhere.",
)
_METADATA = Field(name="metadata", kind=METADATA, doc="Kept with a response that is stored, and told again.")

RESPONSES_FIELDS = FieldTables(
    honoured=(
        MODEL,
        *_ASKED,
        *STATE_FIELDS,
        _TRUNCATION,
        _METADATA,
        Field(
            name="max_output_tokens",
            kind=Integer(low=1),
            doc="Most tokens to generate; an answer that fills the context ends too, as incomplete.",
        ),
        *(field for field in SAMPLING_FIELDS if field.name not in _OTHERWISE_HERE),
        Field(
            name="top_logprobs",
            kind=Integer(low=0, high=20),
            doc="Return log-probabilities, with this many of the likeliest tokens at each place.",
        ),
        Field(
            name="include",
            kind=ListOf(item=Text()),
            doc="`message.output_text.logprobs` returns log-probabilities, `file_search_call.results` what a "
            "search has found; what OpenAI's other tools and reasoning would add is named in "
            "`x-pennyweight-ignored`.",
        ),
        CHAT_TEMPLATE_KWARGS,
        Field(name="stream", kind=Flag(), doc="Send typed server-sent events while the answer is written."),
        USAGE_FIELD,
    ),
    advisory=(
        *ADVISORY,
        Field(
            name="max_tool_calls",
            kind=Integer(low=1),
            doc="Accepted; it counts calls of tools that OpenAI runs itself, of which there are none.",
            advisory=True,
        ),
        Field(
            name="stream_options",
            kind=Compound(_STREAM_OPTIONS_SCHEMA),
            doc="Accepted; events carry no padding.",
            advisory=True,
        ),
    ),
    neutral=(
        Neutral(name="prompt", values=(), reason="there are no stored prompts"),
        Neutral(name="context_management", values=([],), reason="the context is never compacted"),
        Neutral(name="moderation", values=(), reason="there are no moderations yet"),
    ),
    required=("model", "input"),
    elsewhere={
        "functions": "tools",
        "function_call": "tool_choice",
        "logprobs": "top_logprobs",
        "max_completion_tokens": "max_output_tokens",
        "max_tokens": "max_output_tokens",
        "messages": "input",
        "reasoning_effort": "reasoning",
        "response_format": "text",
        "verbosity": "text",
    },
)

INPUT_TOKENS_FIELDS = FieldTables(
    honoured=(MODEL, *_ASKED, *PAST_FIELDS, _TRUNCATION), advisory=(), neutral=(), required=("input",)
)
