"""Messages as templates and dialects of tools read them: plain dictionaries in the shape of OpenAI's chat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pennyweight.answers.conversation import Message, ToolCall


def prompt_messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """What a template does not read it leaves out, as it does with names and earlier reasoning."""
    return [_plain(message) for message in messages]


def _plain(message: Message) -> dict[str, Any]:
    # Templates know four roles; OpenAI renamed "system" to "developer" for its newer models.
    role = "system" if message.role == "developer" else message.role
    optional = {
        "name": message.name,
        "tool_calls": [call_object(call) for call in message.tool_calls] or None,
        "tool_call_id": message.tool_call_id,
        "reasoning_content": message.reasoning,
    }
    return {
        "role": role,
        "content": message.text,
        **{key: value for key, value in optional.items() if value is not None},
    }


def call_object(call: ToolCall) -> dict[str, Any]:
    """One call as chat completions write it."""
    written = "arguments" if call.kind == "function" else "input"
    return {"id": call.id, "type": call.kind, call.kind: {"name": call.name, written: call.arguments}}
