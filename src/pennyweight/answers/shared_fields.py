"""Fields that chat completions and the Responses interface have in common, beside those of sampling."""

from __future__ import annotations

from typing import Final

from pennyweight.answers.fields import AnyObject, Compound, Field, Flag, OneOf, Text
from pennyweight.answers.tool_fields import CHOICE_SCHEMA, PARALLEL_DOC

MODEL: Final = Field(
    name="model",
    kind=Text(empty=False),
    doc="The name of the model, or an alias, as `GET /v1/models` lists them; the answer says what ran.",
)
TOOL_CHOICE: Final = Field(
    name="tool_choice",
    kind=Compound(CHOICE_SCHEMA),
    doc="`none`, `auto`, `required`, one tool by name, or `allowed_tools`.",
)
PARALLEL_TOOL_CALLS: Final = Field(name="parallel_tool_calls", kind=Flag(), doc=PARALLEL_DOC)
CHAT_TEMPLATE_KWARGS: Final = Field(
    name="chat_template_kwargs",
    kind=AnyObject(),
    doc="Further variables of the model's chat template; one the template does not read is refused.",
)
_NOTHING: Final = "Accepted; asks nothing of the answer."
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
