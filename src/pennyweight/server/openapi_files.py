"""What the OpenAPI document says of uploads, which are no JSON."""

from __future__ import annotations

from typing import Any, Final

from pennyweight.server.upload import PURPOSES

UPLOAD_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file", "purpose"],
                "properties": {
                    "file": {"type": "string", "format": "binary"},
                    "purpose": {"enum": list(PURPOSES)},
                    "expires_after[anchor]": {"enum": ["created_at"]},
                    "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2592000},
                },
            }
        }
    },
}
