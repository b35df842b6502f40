"""The bodies that create and change an assistant.

(https://platform.openai.com/docs/api-reference/assistants/createAssistant)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.field_tables import FieldTables, Neutral
from pennyweight.answers.fields import Field, Number, Text
from pennyweight.answers.name import Name
from pennyweight.history.assistants.new_stores import NewToolResources
from pennyweight.history.assistants.response_format import ResponseFormat
from pennyweight.history.assistants.tool_resources import ToolResources
from pennyweight.history.assistants.tools import AssistantTools
from pennyweight.history.limited_text import LimitedText
from pennyweight.history.metadata import METADATA

if TYPE_CHECKING:
    from collections.abc import Mapping

MODEL: Final = Field(
    name="model",
    kind=Text(empty=False),
    doc="The name of a model, or an alias, as `GET /v1/models` lists them.",
)
INSTRUCTIONS: Final = Field(name="instructions", kind=LimitedText(256_000), doc="The system message.")
TOOLS: Final = Field(
    name="tools",
    kind=AssistantTools(),
    doc="Functions, and `file_search`; `code_interpreter` is refused.",
)
RESOURCES: Final = Field(
    name="tool_resources",
    kind=ToolResources(),
    doc="`file_search.vector_store_ids`: the store that is searched, one at most.",
)
NEW_RESOURCES: Final = Field(
    name="tool_resources",
    kind=NewToolResources(),
    doc="`file_search.vector_store_ids`: the store that is searched, one at most; or `vector_stores`, with "
    "`file_ids`, `chunking_strategy` and `metadata` of one that is made.",
)
SAMPLING: Final = (
    Field(name="temperature", kind=Number(low=0, high=2), doc="1 unless given; 0 takes the likeliest."),
    Field(name="top_p", kind=Number(low=0, high=1), doc="Nucleus sampling; 1 unless given."),
    Field(name="response_format", kind=ResponseFormat(), doc="`auto`, or as in chat completions."),
)
NO_REASONING: Final = Neutral(
    name="reasoning_effort", values=("none",), reason="the model does not reason before it answers"
)
_OTHERS: Final = (
    MODEL,
    Field(name="name", kind=Name(), doc="For people."),
    Field(name="description", kind=LimitedText(512), doc="For people."),
    INSTRUCTIONS,
    TOOLS,
    METADATA,
    *SAMPLING,
)
_FIELDS: Final = (*_OTHERS, RESOURCES)
CREATE_ASSISTANT: Final = FieldTables(
    honoured=(*_OTHERS, NEW_RESOURCES), advisory=(), neutral=(NO_REASONING,), required=("model",)
)
UPDATE_ASSISTANT: Final = FieldTables(honoured=_FIELDS, advisory=(), neutral=(NO_REASONING,), required=())


def read_changes(body: Mapping[str, object]) -> dict[str, Any]:
    """The settings an update gives; null, unlike elsewhere, takes one away. Raises ParameterError."""
    changes: dict[str, Any] = dict(UPDATE_ASSISTANT.read(body))
    known = {field.name for field in _FIELDS} - {"model"}
    return changes | {name: None for name in known & body.keys() if body[name] is None}
