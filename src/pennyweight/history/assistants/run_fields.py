"""The bodies that create runs and give the results of tools.

(https://platform.openai.com/docs/api-reference/runs/createRun)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pennyweight.answers.field_tables import FieldTables
from pennyweight.answers.fields import (
    Field,
    Flag,
    Integer,
    ListOf,
    OneOf,
    ParameterError,
    Text,
    missing,
    unknown,
    wrong_type,
)
from pennyweight.answers.tool_fields import PARALLEL_DOC
from pennyweight.history.assistants.assistant_fields import (
    INSTRUCTIONS,
    MODEL,
    NO_REASONING,
    RESOURCES,
    SAMPLING,
    TOOLS,
)
from pennyweight.history.assistants.thread_fields import CREATE_THREAD, MESSAGES
from pennyweight.history.assistants.tools import RunToolChoice
from pennyweight.history.metadata import METADATA
from pennyweight.history.nested import Nested

RESULTS: Final = "step_details.tool_calls[*].file_search.results[*].content"
"""The one thing that `include` may name."""
_TRUNCATION: Final = OneOf(("auto", "last_messages"))
_LAST: Final = Integer(low=1)


@dataclass(frozen=True, slots=True)
class TruncationStrategy:
    """`{"type": "auto"}`, or `{"type": "last_messages", "last_messages": n}`; always both keys afterwards."""

    def read(self, value: object, param: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong_type(param, "an object", value)
        for name in value:
            if name not in ("type", "last_messages"):
                raise unknown(f"{param}.{name}", ("type", "last_messages"))
        kind = _TRUNCATION.read(value.get("type"), f"{param}.type")
        last = value.get("last_messages")
        if kind == "auto" and last is not None:
            message = f"'{param}.last_messages' goes with the type 'last_messages', not with 'auto'."
            raise ParameterError(message, param=f"{param}.last_messages", code="invalid_value")
        if kind == "last_messages":
            if last is None:
                raise missing(f"{param}.last_messages")
            last = _LAST.read(last, f"{param}.last_messages")
        return {"type": kind, "last_messages": last}

    @property
    def schema(self) -> dict[str, Any]:
        last = {"anyOf": [_LAST.schema, {"type": "null"}]}
        properties = {"type": _TRUNCATION.schema, "last_messages": last}
        return {"type": "object", "required": ["type"], "properties": properties}


_STREAM: Final = Field(
    name="stream",
    kind=Flag(),
    doc="Follow the run by server-sent events. A client that goes away does not end it; cancel it for that.",
)
_RUN: Final = (
    Field(name="assistant_id", kind=Text(empty=False), doc="Who answers; what follows goes before it."),
    MODEL,
    INSTRUCTIONS,
    TOOLS,
    METADATA,
    *SAMPLING,
    Field(
        name="max_prompt_tokens",
        kind=Integer(low=1),
        doc="Most tokens that all prompts of the run may have together; else it ends as incomplete.",
    ),
    Field(
        name="max_completion_tokens",
        kind=Integer(low=1),
        doc="Most tokens that the run may write; else it ends as incomplete.",
    ),
    Field(
        name="truncation_strategy",
        kind=TruncationStrategy(),
        doc="`auto` leaves out messages from the middle of the thread until it fits; `last_messages` reads "
        "only so many.",
    ),
    Field(
        name="tool_choice",
        kind=RunToolChoice(),
        doc="`none`, `auto`, `required`, or a tool by name; holds for the first answer of the run, `auto` "
        "for those after results of tools.",
    ),
    Field(name="parallel_tool_calls", kind=Flag(), doc=PARALLEL_DOC),
    _STREAM,
)
CREATE_RUN: Final = FieldTables(
    honoured=(
        *_RUN,
        Field(
            name="additional_instructions",
            kind=Text(),
            doc="Put behind the instructions, for this run.",
        ),
        Field(name="additional_messages", kind=MESSAGES, doc="Added to the thread before the run."),
    ),
    advisory=(),
    neutral=(NO_REASONING,),
    required=("assistant_id",),
)
CREATE_THREAD_AND_RUN: Final = FieldTables(
    honoured=(
        *_RUN,
        Field(name="thread", kind=Nested(CREATE_THREAD), doc="The thread, as in `POST /v1/threads`."),
        RESOURCES,
    ),
    advisory=(),
    neutral=(NO_REASONING,),
    required=("assistant_id",),
)
_OUTPUT: Final = FieldTables(
    honoured=(
        Field(name="tool_call_id", kind=Text(empty=False), doc="Which call."),
        Field(name="output", kind=Text(), doc="What it gave."),
    ),
    advisory=(),
    neutral=(),
    required=("tool_call_id",),
)
SUBMIT_OUTPUTS: Final = FieldTables(
    honoured=(
        Field(
            name="tool_outputs",
            kind=ListOf(item=Nested(_OUTPUT), low=1),
            doc="One for each call of `required_action`, all at once.",
        ),
        _STREAM,
    ),
    advisory=(),
    neutral=(),
    required=("tool_outputs",),
)
