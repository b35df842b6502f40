"""Batches made and followed through the official client."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from tests.jobs.requests import CHAT, chat_line

if TYPE_CHECKING:
    import openai
    from openai.types import Batch

    from tests.server.live import LiveServer

ENDED = ("failed", "completed", "expired", "cancelled")


def uploaded(client: openai.OpenAI, raw: bytes) -> str:
    return client.files.create(file=("in.jsonl", raw), purpose="batch").id


def created(client: openai.OpenAI, raw: bytes, **fields: Any) -> Batch:
    given: dict[str, Any] = {"endpoint": CHAT, "completion_window": "24h", **fields}
    return client.batches.create(input_file_id=uploaded(client, raw), **given)


def ended(client: openai.OpenAI, batch: Batch) -> Batch:
    deadline = time.monotonic() + 60
    while (now := client.batches.retrieve(batch.id)).status not in ENDED:
        assert time.monotonic() < deadline, now
        time.sleep(0.01)
    return now


def lines_of(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in client.files.content(file_id).read().splitlines()]


def chats(server: LiveServer, count: int, **fields: Any) -> list[dict[str, Any]]:
    """Short chats, numbered from 0."""
    return [chat_line(number, model=server.model, **fields) for number in range(count)]
