"""Turns and tools in the shape of OpenAI's chat completions, as a service elsewhere reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pennyweight.answers.prompt_messages import call_object
from pennyweight.text.tools.json_text import closed_object

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pennyweight.answers.conversation import Conversation, Message, Tool, ToolCall
    from pennyweight.answers.upstream.abilities import Abilities


def chat_messages(
    messages: Iterable[Message], abilities: Abilities, ignored: set[str]
) -> list[dict[str, Any]]:
    """The `messages`; what the service does not take of them is left out and named."""
    return [_message(message, abilities, ignored) for message in messages]


def _message(message: Message, abilities: Abilities, ignored: set[str]) -> dict[str, Any]:
    role: str = message.role
    if role == "developer" and "developer" not in abilities.fields:
        role = "system"  # most templates know the older name only
    text = "".join(part.text for part in message.parts)
    reasoning = message.reasoning
    if reasoning is not None and "reasoning_content" not in abilities.fields:
        ignored.add("messages[].reasoning_content")
        reasoning = None
    optional = {
        "name": message.name,
        "refusal": message.refusal,
        "tool_calls": [call_object(_closed(call)) for call in message.tool_calls] or None,
        "tool_call_id": message.tool_call_id,
        "reasoning_content": reasoning,
    }
    # Beside calls or a refusal the assistant may have said nothing.
    silent = not text and (message.tool_calls or message.refusal is not None)
    return {
        "role": role,
        "content": None if silent else text,
        **{key: value for key, value in optional.items() if value is not None},
    }


def _closed(call: ToolCall) -> ToolCall:
    """An answer that ended with `length` may have been cut off in arguments, which many services parse."""
    return replace(call, arguments=closed_object(call.arguments)) if call.kind == "function" else call


def sent_tools(conversation: Conversation) -> tuple[Tool, ...]:
    """The tools that a service is told of."""
    return conversation.tools if conversation.tool_choice.mode == "none" else conversation.callable_tools


def chat_tools(conversation: Conversation) -> dict[str, Any]:
    """`tools`, `tool_choice` and `parallel_tool_calls`; nothing without tools.

    A choice among some of the tools is said by sending these alone: every service understands it.
    """
    choice, tools = conversation.tool_choice, sent_tools(conversation)
    if not tools:
        return {}
    fields: dict[str, Any] = {"tools": [_tool(tool) for tool in tools], "tool_choice": choice.mode}
    if choice.once:
        fields["tool_choice"] = {"type": tools[0].kind, tools[0].kind: {"name": tools[0].name}}
    if conversation.parallel_tool_calls is not None:
        fields["parallel_tool_calls"] = conversation.parallel_tool_calls
    return fields


def _tool(tool: Tool) -> dict[str, Any]:
    inner: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        inner["description"] = tool.description
    if tool.kind == "function":
        inner |= {"strict": tool.strict} if tool.strict else {}
        inner |= {} if tool.parameters is None else {"parameters": tool.parameters}
    elif tool.syntax != "text":
        grammar = {"syntax": tool.syntax, "definition": tool.definition}
        inner["format"] = {"type": "grammar", "grammar": grammar}
    return {"type": tool.kind, tool.kind: inner}
