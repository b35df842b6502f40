"""What a run was asked: its assistant's settings, with what the run itself says put before them.

Fixed when the run is made: whatever becomes of the assistant afterwards changes nothing of the run.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.store.assistants import Assistant


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """As OpenAI's run object tells them. `tool_resources` are the assistant's, or the run's own."""

    assistant_id: str
    model: str
    instructions: str = ""
    tools: list[dict[str, Any]]
    tool_resources: dict[str, Any]
    temperature: float = 1.0
    top_p: float = 1.0
    response_format: Any = "auto"
    tool_choice: Any = "auto"
    parallel_tool_calls: bool = True
    max_prompt_tokens: int | None = None
    max_completion_tokens: int | None = None
    last_messages: int | None = None

    @classmethod
    def of(cls, assistant: Assistant, values: Mapping[str, Any]) -> RunSettings:
        """`values` were read by `CREATE_RUN` or `CREATE_THREAD_AND_RUN`."""
        given = {"tools": [], "tool_resources": {}, **assistant.settings, **values}
        known = {name: given[name] for name in cls.__slots__ if name in given}
        known["assistant_id"] = assistant.id
        known["last_messages"] = values.get("truncation_strategy", {}).get("last_messages")
        made = cls(**known)
        more = values.get("additional_instructions")
        if not more:
            return made
        return replace(made, instructions=f"{made.instructions}\n\n{more}" if made.instructions else more)

    def text(self) -> str:
        """As the store keeps it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> RunSettings:
        """What `text` gave."""
        return cls(**json.loads(text))

    @property
    def writes_text(self) -> bool:
        """Whether the answer need not be JSON."""
        return self.response_format in ("auto", {"type": "text"})

    @property
    def truncation(self) -> dict[str, Any]:
        """The wire's `truncation_strategy`."""
        kind = "auto" if self.last_messages is None else "last_messages"
        return {"type": kind, "last_messages": self.last_messages}
