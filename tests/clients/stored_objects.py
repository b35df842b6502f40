"""One of everything that a server keeps, made over HTTP: so that made-up requests find what they work on."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx

_LINE = {
    "custom_id": "a",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2},
}
_ENDED = ("completed", "incomplete", "failed", "cancelled", "expired", "requires_action")
_CALL = {
    "type": "function",
    "function": {"name": "f", "strict": True, "parameters": {"type": "object", "properties": {}}},
}


def make_objects(url: str, model: str) -> dict[str, list[str]]:
    """Ids by the names of path parameters; `batch_id` has those of batches and of batches of files."""
    with httpx.Client(base_url=f"{url}/v1", timeout=60) as client:

        def made(path: str, **body: Any) -> dict[str, Any]:
            reply = client.post(path, json=body)
            assert reply.status_code == 200, (path, reply.text)
            answer: dict[str, Any] = reply.json()
            return answer

        def uploaded(name: str, content: bytes, purpose: str) -> str:
            reply = client.post("/files", files={"file": (name, content)}, data={"purpose": purpose})
            return str(reply.json()["id"])

        ids: dict[str, list[str]] = {}
        text = uploaded("a.txt", b"A cat is a cat.\n\nA dog is a dog.", "assistants")
        lines = uploaded(
            "b.jsonl", json.dumps({**_LINE, "body": {**_LINE["body"], "model": model}}).encode(), "batch"
        )  # type: ignore[dict-item]
        ids["file_id"] = [text, lines]
        batch = made(
            "/batches", input_file_id=lines, endpoint="/v1/chat/completions", completion_window="24h"
        )
        store = made("/vector_stores", name="s")["id"]
        of_files = made(f"/vector_stores/{store}/file_batches", file_ids=[text])
        ids |= {"vector_store_id": [store], "batch_id": [batch["id"], of_files["id"]]}
        ask = {"model": model, "max_output_tokens": 4}
        first = made("/responses", input="Hi", **ask)
        later = made("/responses", input="Hi", background=True, stream=False, **ask)
        ids["response_id"] = [first["id"], later["id"]]
        conversation = made("/conversations", items=[{"role": "user", "content": "Hi"}] * 3)["id"]
        listed = client.get(f"/conversations/{conversation}/items").json()["data"]
        ids |= {"conversation_id": [conversation], "item_id": [item["id"] for item in listed]}
        chat = made(
            "/chat/completions",
            messages=[{"role": "user", "content": "Hi"}],
            store=True,
            model=model,
            max_tokens=2,
        )
        ids["completion_id"] = [chat["id"]]
        plain = made("/assistants", model=model)["id"]
        caller = made("/assistants", model=model, tools=[_CALL])["id"]
        ids["assistant_id"] = [plain, caller]
        message = {"role": "user", "content": "Hi"}
        runs = [
            made(
                "/threads/runs", assistant_id=plain, thread={"messages": [message]}, max_completion_tokens=4
            ),
            made(
                "/threads/runs", assistant_id=caller, thread={"messages": [message]}, tool_choice="required"
            ),
        ]
        for run in runs:
            path = f"/threads/{run['thread_id']}/runs/{run['id']}"
            while client.get(path).json()["status"] not in _ENDED:
                time.sleep(0.05)
            for name, found in (
                ("step_id", f"{path}/steps"),
                ("message_id", f"/threads/{run['thread_id']}/messages"),
            ):
                ids.setdefault(name, []).extend(one["id"] for one in client.get(found).json()["data"])
        ids |= {"thread_id": [run["thread_id"] for run in runs], "run_id": [run["id"] for run in runs]}
        return ids
