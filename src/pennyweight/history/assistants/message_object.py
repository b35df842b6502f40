"""OpenAI's message object (https://platform.openai.com/docs/api-reference/messages/object)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pennyweight.store.thread_messages import ThreadMessage


def message_object(message: ThreadMessage) -> dict[str, Any]:
    """A message that is stored is whole, or cut off by a limit."""
    body = message.body
    status = body.get("status", "completed")
    return {
        "id": message.id,
        "object": "thread.message",
        "created_at": message.created_at,
        "thread_id": message.thread_id,
        "run_id": message.run_id,
        "assistant_id": body.get("assistant_id"),
        "role": body["role"],
        "content": body["content"],
        "attachments": body.get("attachments", []),
        "metadata": message.metadata,
        "status": status,
        "incomplete_details": body.get("incomplete_details"),
        "completed_at": message.created_at if status == "completed" else None,
        "incomplete_at": message.created_at if status == "incomplete" else None,
    }


def message_text(message: ThreadMessage) -> str:
    """All its text, as a model reads it."""
    return "".join(part["text"]["value"] for part in message.body["content"] if part["type"] == "text")
