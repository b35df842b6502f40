"""What is asked, independent of the dialect it came in: messages of parts, or a bare prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "developer", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text a person or a model wrote; it never becomes a control token."""

    text: str


Part = TextPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn. `parts` keep the order they came in."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """All text of the turn, parts joined by nothing, as OpenAI's models read them."""
        return "".join(part.text for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Turns in order; the answer continues after the last."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A bare prompt to be continued, without a chat template."""

    prompt: str


Source = Conversation | Completion
