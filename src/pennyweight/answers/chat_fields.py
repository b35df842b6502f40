"""Every top-level field of a chat body, in three tables: honoured, advisory, taken at neutral values only.

What is in none of them is unknown and refused. `docs/api.md` and the OpenAPI document are made from these.
"""

from __future__ import annotations

from typing import Final

from pennyweight.answers.chat_messages import MESSAGES_SCHEMA
from pennyweight.answers.field_tables import STREAM_OPTIONS_SCHEMA, FieldTables, Neutral
from pennyweight.answers.fields import Compound, Field, Flag, TextMap
from pennyweight.answers.format_fields import FORMAT_SCHEMA, PREDICTION_SCHEMA
from pennyweight.answers.sampling_fields import SAMPLING_FIELDS
from pennyweight.answers.shared_fields import (
    ADVISORY,
    CHAT_TEMPLATE_KWARGS,
    MODEL,
    PARALLEL_TOOL_CALLS,
    TOOL_CHOICE,
)
from pennyweight.answers.tool_fields import (
    FUNCTION_CALL_SCHEMA,
    FUNCTIONS_SCHEMA,
    TOOLS_SCHEMA,
)
from pennyweight.answers.usage_cost import USAGE_FIELD

METADATA: Final = TextMap()
"""OpenAI's limits: 16 entries, names of up to 64 characters, values of up to 512."""
HONOURED: tuple[Field, ...] = (
    Field(
        name="messages",
        kind=Compound(MESSAGES_SCHEMA),
        doc="The conversation so far: strings or parts of text; calls of tools and their results.",
    ),
    MODEL,
    *SAMPLING_FIELDS,
    Field(name="stream", kind=Flag(), doc="Send the answer as server-sent events while it is written."),
    Field(
        name="stream_options",
        kind=Compound(STREAM_OPTIONS_SCHEMA),
        doc="With `stream`: `include_usage` sends the usage in one more chunk at the end.",
    ),
    USAGE_FIELD,
    Field(
        name="tools",
        kind=Compound(TOOLS_SCHEMA),
        doc="Functions and custom tools. Arguments of `strict` functions always validate; of others what "
        "can be enforced is, and the rest named in `x-pennyweight-ignored`, as are tools that OpenAI runs "
        "itself, which are skipped.",
    ),
    TOOL_CHOICE,
    PARALLEL_TOOL_CALLS,
    Field(
        name="functions",
        kind=Compound(FUNCTIONS_SCHEMA),
        doc="The older form of `tools`; the answer then has a `function_call`.",
    ),
    Field(
        name="function_call",
        kind=Compound(FUNCTION_CALL_SCHEMA),
        doc="The older form of `tool_choice`.",
    ),
    Field(
        name="response_format",
        kind=Compound(FORMAT_SCHEMA),
        doc="`text`, `json_object`, or `json_schema`: the answer is valid at any temperature or ends with "
        "`length`. With a keyword that cannot be enforced a `strict` schema is refused; another one is "
        "enforced without it, and the keyword named in `x-pennyweight-ignored`.",
    ),
    Field(
        name="prediction",
        kind=Compound(PREDICTION_SCHEMA),
        doc="Text the answer is expected to repeat: right guesses come faster, wrong ones change nothing.",
    ),
    CHAT_TEMPLATE_KWARGS,
    Field(
        name="store",
        kind=Flag(),
        doc="Keep the completion, durably before the answer's end is sent; false unless told otherwise.",
    ),
    Field(name="metadata", kind=METADATA, doc="Kept with a completion that is stored."),
)

NEUTRAL: tuple[Neutral, ...] = (
    Neutral(name="modalities", values=(["text"],), reason="the model answers in text"),
    Neutral(name="audio", values=(), reason="the model answers in text"),
    Neutral(name="reasoning_effort", values=("none",), reason="the model does not reason before it answers"),
    Neutral(name="verbosity", values=("medium",), reason="the model has no verbosity to set"),
    Neutral(name="web_search_options", values=(), reason="the model does not search the web"),
    Neutral(name="moderation", values=(), reason="there are no moderations yet"),
)
CHAT_FIELDS = FieldTables(
    honoured=HONOURED,
    advisory=ADVISORY,
    neutral=NEUTRAL,
    required=("model", "messages"),
    elsewhere={
        "input": "messages",
        "instructions": "messages",
        "max_output_tokens": "max_completion_tokens",
        "prompt": "messages",
        "reasoning": "reasoning_effort",
        "text": "response_format",
    },
)
