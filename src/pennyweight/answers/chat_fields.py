"""Every top-level field of a chat body, in three tables: honoured, advisory, taken at neutral values only.

What is in none of them is unknown and refused. `docs/api.md` and the OpenAPI document are made from these.
"""

from __future__ import annotations

from typing import Final

from pennyweight.answers.chat_messages import MESSAGES_SCHEMA
from pennyweight.answers.field_tables import STREAM_OPTIONS_SCHEMA, FieldTables, Neutral
from pennyweight.answers.fields import AnyObject, Compound, Field, Flag, OneOf, Text, TextMap
from pennyweight.answers.format_fields import FORMAT_SCHEMA, PREDICTION_SCHEMA
from pennyweight.answers.sampling_fields import SAMPLING_FIELDS
from pennyweight.answers.tool_fields import (
    CHOICE_SCHEMA,
    FUNCTION_CALL_SCHEMA,
    FUNCTIONS_SCHEMA,
    PARALLEL_DOC,
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
    Field(
        name="model",
        kind=Text(empty=False),
        doc="The name of the model, or an alias, as `GET /v1/models` lists them; the answer says what ran.",
    ),
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
    Field(
        name="tool_choice",
        kind=Compound(CHOICE_SCHEMA),
        doc="`none`, `auto`, `required`, one tool by name, or `allowed_tools`.",
    ),
    Field(name="parallel_tool_calls", kind=Flag(), doc=PARALLEL_DOC),
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
    Field(
        name="chat_template_kwargs",
        kind=AnyObject(),
        doc="Further variables of the model's chat template; one the template does not read is refused.",
    ),
    Field(
        name="store",
        kind=Flag(),
        doc="Keep the completion, durably before the answer's end is sent; false unless told otherwise.",
    ),
    Field(name="metadata", kind=METADATA, doc="Kept with a completion that is stored."),
)

_NOTHING = "Accepted; asks nothing of the answer."
ADVISORY: tuple[Field, ...] = tuple(
    Field(name=name, kind=kind, doc=doc, advisory=True)
    for name, kind, doc in (
        ("user", Text(), _NOTHING),
        ("safety_identifier", Text(), _NOTHING),
        ("client_metadata", AnyObject(), _NOTHING),
        ("prompt_cache_key", Text(), "Accepted; every prefix is cached without being asked."),
        ("prompt_cache_retention", Text(), "Accepted; prefixes stay cached while there is room."),
        ("prompt_cache_options", AnyObject(), "Accepted; every prefix is cached without being asked."),
        (
            "service_tier",
            OneOf(("auto", "default", "flex", "scale", "priority")),
            "Accepted; there is one tier, and the answer says `default`.",
        ),
    )
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
    honoured=HONOURED, advisory=ADVISORY, neutral=NEUTRAL, required=("model", "messages")
)
