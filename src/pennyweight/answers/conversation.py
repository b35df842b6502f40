"""What is asked, independent of the dialect it came in: messages of parts and tools, or a bare prompt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pennyweight.text.tools.tool import Tool

__all__ = [
    "Completion",
    "Conversation",
    "Message",
    "Part",
    "Role",
    "Source",
    "TextPart",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolKind",
]

ToolKind = Literal["function", "custom"]
Role = Literal["system", "developer", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text a person or a model wrote; it never becomes a control token."""

    text: str


Part = TextPart


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call. `arguments` is a function's JSON text as the model wrote it, or a custom tool's input."""

    id: str
    name: str
    arguments: str
    kind: ToolKind = "function"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChoice:
    """What the model may do with its tools.

    `none`: no call; `auto`: text or calls; `required`: at least one call. `names` restricts the calls to
    these tools (OpenAI's named choice is `required` with one name, `allowed_tools` either mode with several);
    None: all tools. `once`: exactly one call, as OpenAI promises for a named choice.
    """

    mode: Literal["none", "auto", "required"] = "auto"
    names: frozenset[str] | None = None
    once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn. `parts` keep the order they came in.

    `tool_calls`, `refusal` and `reasoning` are the assistant's; `tool_call_id` is what a `tool` turn answers;
    `name` is the speaker's, where templates show one.
    """

    role: Role
    parts: tuple[Part, ...] = ()
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning: str | None = None

    @property
    def text(self) -> str:
        """All text of the turn, parts joined by nothing, as OpenAI's models read them; else its refusal."""
        return "".join(part.text for part in self.parts) or self.refusal or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Turns in order, and the tools there are; the answer continues after the last turn."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    parallel_tool_calls: bool | None = None  # False: at most one call; None: as the model is taught

    @property
    def callable_tools(self) -> tuple[Tool, ...]:
        """The tools that the answer may call; none where the choice is none."""
        choice = self.tool_choice
        if choice.mode == "none":
            return ()
        return tuple(tool for tool in self.tools if choice.names is None or tool.name in choice.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A bare prompt to be continued, without a chat template: text, or token ids of this model."""

    prompt: str | tuple[int, ...]


Source = Conversation | Completion
