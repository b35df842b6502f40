"""Lines of a batch's input as tests write them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

CHAT = "/v1/chat/completions"


def chat_line(number: int, *, model: str = "gpt-4o-mini", **fields: Any) -> dict[str, Any]:
    """A short chat; `fields` are the body's."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": f"Say {number}."}],
        "max_tokens": 4,
        "temperature": 0,
        **fields,
    }
    return {"custom_id": f"r-{number}", "method": "POST", "url": CHAT, "body": body}


def jsonl(*lines: dict[str, Any] | str) -> bytes:
    """A text stands for itself."""
    return b"".join((line if isinstance(line, str) else json.dumps(line)).encode() + b"\n" for line in lines)


def write_chats(path: Path, count: int, **fields: Any) -> Path:
    """A file of `count` chats."""
    path.write_bytes(jsonl(*(chat_line(number, **fields) for number in range(count))))
    return path


def read_objects(path: Path) -> list[dict[str, Any]]:
    """The lines of a file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]
