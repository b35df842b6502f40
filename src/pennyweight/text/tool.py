"""Tools a model may call, how it may choose among them, and the calls it made: data only.

Here and not in `answers`, because grammars and dialects of tool calls need it; `answers` re-exports it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

ToolKind = Literal["function", "custom"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call. `arguments` is a function's JSON text as the model wrote it, or a custom tool's input."""

    id: str
    name: str
    arguments: str
    kind: ToolKind = "function"


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionTool:
    """A function. `parameters` is a JSON Schema of its arguments, None: it takes none.

    `strict`: arguments always validate against the schema, or the schema is refused.
    """

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolGrammar:
    """What the input of a custom tool must match: a Lark grammar or a regular expression."""

    syntax: Literal["lark", "regex"]
    definition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomTool:
    """A tool that takes text. `format` None: any text."""

    name: str
    description: str | None = None
    format: ToolGrammar | None = None


Tool = FunctionTool | CustomTool


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChoice:
    """What the model may do with its tools.

    `none`: no call; `auto`: text or calls; `required`: at least one call. `names` restricts the calls to
    these tools (OpenAI's named choice is `required` with one name, `allowed_tools` either mode with several);
    None: all tools.
    """

    mode: Literal["none", "auto", "required"] = "auto"
    names: frozenset[str] | None = None
