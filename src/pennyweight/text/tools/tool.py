"""What a tool is, and what a parser finds in an answer."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

INPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
"""How a custom tool looks to a model that knows functions only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A function, or a custom tool that takes text.

    `parameters` is a function's JSON schema (None: anything goes); `syntax` and `definition` are a custom
    tool's format; `param` is the request field to name when something in it cannot be enforced. `as_given` is
    there if nobody asked for `strict`: the schema to fall back to where `parameters` cannot be enforced.
    """

    name: str
    kind: Literal["function", "custom"] = "function"
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool = False
    as_given: Mapping[str, Any] | None = None
    syntax: Literal["text", "lark", "regex"] = "text"
    definition: str = ""
    param: str | None = None

    @property
    def is_raw(self) -> bool:
        """Whether a call's input is written as it is, for a grammar of its own, not inside JSON."""
        return self.kind == "custom" and self.syntax == "lark"

    def opened(self) -> Tool:
        """The function as it was given, not strict."""
        return replace(self, parameters=self.as_given, as_given=None, strict=False)

    def as_function(self) -> dict[str, Any]:
        """The tool in the shape chat templates read."""
        parameters = self.parameters if self.kind == "function" else INPUT_SCHEMA
        function: dict[str, Any] = {"name": self.name}
        description = [self.description or ""]
        if self.definition:
            description.append(f"The input follows this {self.syntax} grammar:\n{self.definition}")
        if any(description):
            function["description"] = "\n".join(filter(None, description))
        function["parameters"] = (
            parameters if parameters is not None else {"type": "object", "properties": {}}
        )
        return {"type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Concessions:
    """What is not enforced because nobody asked for it strictly.

    `fields` are the places of keywords, by the names of request fields; `functions` the names of those that
    could not be closed and are taken as they were given.
    """

    fields: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text of the answer beside its calls."""

    text: str


@dataclass(frozen=True, slots=True)
class CallStart:
    """Call number `index` begins; `kind` says whether what follows is JSON or a custom tool's input."""

    index: int
    name: str
    kind: Literal["function", "custom"]


@dataclass(frozen=True, slots=True)
class ArgumentsDelta:
    """More of the arguments (JSON text) or of the input of call `index`."""

    index: int
    text: str


ToolEvent = TextDelta | CallStart | ArgumentsDelta
