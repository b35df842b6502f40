"""Every top-level field of a plain completion's body.

OpenAI's names and defaults (https://platform.openai.com/docs/api-reference/completions/create), and the
dialect of open engines, as in chat completions.
"""

from __future__ import annotations

from typing import Any

from pennyweight.answers.field_tables import STREAM_OPTIONS_SCHEMA, FieldTables, Neutral
from pennyweight.answers.fields import Compound, Field, Flag, Integer, Text
from pennyweight.answers.sampling_fields import SAMPLING_FIELDS
from pennyweight.answers.usage_cost import USAGE_FIELD

DEFAULT_MAX_TOKENS = 16
MAX_PROMPTS = 2048
_OTHERWISE_HERE = ("max_completion_tokens", "max_tokens", "logprobs", "top_logprobs")
_IDS_SCHEMA: dict[str, Any] = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
_STRING: dict[str, Any] = {"type": "string"}
PROMPT_SCHEMA: dict[str, Any] = {
    "anyOf": [
        _STRING,
        {"type": "array", "items": _STRING, "minItems": 1, "maxItems": MAX_PROMPTS},
        _IDS_SCHEMA,
        {"type": "array", "items": _IDS_SCHEMA, "minItems": 1, "maxItems": MAX_PROMPTS},
    ]
}

COMPLETION_FIELDS = FieldTables(
    honoured=(
        Field(
            name="model",
            kind=Text(empty=False),
            doc="The name of the model, or an alias, as `GET /v1/models` lists them.",
        ),
        Field(
            name="prompt",
            kind=Compound(PROMPT_SCHEMA),
            doc="A text, token ids, or a list of either; each prompt has `n` choices of its own. Text never "
            "becomes a control token, ids are taken as they are.",
        ),
        Field(
            name="max_tokens",
            kind=Integer(low=0),
            doc=f"Most tokens to generate, {DEFAULT_MAX_TOKENS} by default; 0 only with `echo`.",
        ),
        *(field for field in SAMPLING_FIELDS if field.name not in _OTHERWISE_HERE),
        Field(
            name="logprobs",
            kind=Integer(low=0, high=20),
            doc="Return the log-probability of every token, and of this many of the likeliest at its place.",
        ),
        Field(
            name="echo",
            kind=Flag(),
            doc="Begin the text with the prompt; with `logprobs` every token of the prompt is scored, and a "
            "stream sends a choice only when it is complete.",
        ),
        Field(
            name="best_of",
            kind=Integer(low=1, high=128),
            doc="Only the same as `n`: nothing is generated that is not returned.",
        ),
        Field(name="stream", kind=Flag(), doc="Send the answer as server-sent events while it is written."),
        Field(
            name="stream_options",
            kind=Compound(STREAM_OPTIONS_SCHEMA),
            doc="With `stream`: `include_usage` sends the usage in one more chunk at the end.",
        ),
        USAGE_FIELD,
    ),
    advisory=(Field(name="user", kind=Text(), doc="Accepted; asks nothing of the answer.", advisory=True),),
    neutral=(Neutral(name="suffix", values=("",), reason="the model continues text and does not fill gaps"),),
    required=("model", "prompt"),
)
