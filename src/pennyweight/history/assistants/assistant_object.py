"""OpenAI's assistant object (https://platform.openai.com/docs/api-reference/assistants/object)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pennyweight.store.assistants import Assistant


def assistant_object(assistant: Assistant) -> dict[str, Any]:
    """What was not given has OpenAI's default."""
    given = assistant.settings
    return {
        "id": assistant.id,
        "object": "assistant",
        "created_at": assistant.created_at,
        "name": given.get("name"),
        "description": given.get("description"),
        "model": given["model"],
        "instructions": given.get("instructions"),
        "tools": given.get("tools", []),
        "tool_resources": given.get("tool_resources", {}),
        "metadata": given.get("metadata", {}),
        "temperature": given.get("temperature", 1.0),
        "top_p": given.get("top_p", 1.0),
        "response_format": given.get("response_format", "auto"),
    }
