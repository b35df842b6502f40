"""OpenAI's file object (https://platform.openai.com/docs/api-reference/files/object)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pennyweight.store.files import StoredFile


def file_object(file: StoredFile) -> dict[str, Any]:
    """`status` is deprecated, and what older clients wait for."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.num_bytes,
        "created_at": file.created_at,
        "expires_at": file.expires_at,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def deleted_object(file_id: str) -> dict[str, Any]:
    """What a deletion answers."""
    return {"id": file_id, "object": "file", "deleted": True}
