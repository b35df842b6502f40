"""One of everything that a server keeps, made over HTTP: so that made-up requests find what they work on."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx

_HI = {"role": "user", "content": "Hi"}
_BODY: dict[str, Any] = {"messages": [_HI], "max_tokens": 2}
_LINE = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"}
_ENDED = ("completed", "incomplete", "failed", "cancelled", "expired", "requires_action")
_CALL = {
    "type": "function",
    "function": {"name": "f", "strict": True, "parameters": {"type": "object", "properties": {}}},
}


def make_objects(url: str, model: str) -> dict[str, list[str]]:
    """Ids by the names of path parameters; `batch_id` has those of batches and of batches of files."""
    with httpx.Client(base_url=f"{url}/v1", timeout=60) as client:
        maker = _Maker(client, model)
        return {**maker.files(), **maker.answers(), **maker.threads()}


class _Maker:
    def __init__(self, client: httpx.Client, model: str) -> None:
        self._client = client
        self._model = model

    def files(self) -> dict[str, list[str]]:
        """Of people, in a batch, in a vector store."""
        text = self._uploaded("a.txt", b"A cat is a cat.\n\nA dog is a dog.", "assistants")
        line = {**_LINE, "body": {**_BODY, "model": self._model}}
        lines = self._uploaded("b.jsonl", json.dumps(line).encode(), "batch")
        asked = {"endpoint": _LINE["url"], "completion_window": "24h"}
        batch = self._made("/batches", input_file_id=lines, **asked)
        store = self._made("/vector_stores", name="s")["id"]
        of_files = self._made(f"/vector_stores/{store}/file_batches", file_ids=[text])
        batches = [batch["id"], of_files["id"]]
        return {"file_id": [text, lines], "batch_id": batches, "vector_store_id": [store]}

    def answers(self) -> dict[str, list[str]]:
        """Responses, a conversation, a stored chat."""
        ask = {"model": self._model, "input": "Hi", "max_output_tokens": 4}
        responses = [self._made("/responses", **ask), self._made("/responses", background=True, **ask)]
        conversation = self._made("/conversations", items=[_HI] * 3)["id"]
        chat = self._made("/chat/completions", **_BODY, store=True, model=self._model)
        return {
            "response_id": [response["id"] for response in responses],
            "conversation_id": [conversation],
            "item_id": self._listed(f"/conversations/{conversation}/items"),
            "completion_id": [chat["id"]],
        }

    def threads(self) -> dict[str, list[str]]:
        """A thread that was answered, and one whose run waits for a function."""
        plain = self._made("/assistants", model=self._model)["id"]
        caller = self._made("/assistants", model=self._model, tools=[_CALL])["id"]
        thread = {"messages": [_HI]}
        runs = [
            self._made("/threads/runs", assistant_id=plain, thread=thread, max_completion_tokens=4),
            self._made("/threads/runs", assistant_id=caller, thread=thread, tool_choice="required"),
        ]
        steps, messages = [], []
        for run in runs:
            path = f"/threads/{run['thread_id']}/runs/{run['id']}"
            while self._client.get(path).json()["status"] not in _ENDED:
                time.sleep(0.05)
            steps += self._listed(f"{path}/steps")
            messages += self._listed(f"/threads/{run['thread_id']}/messages")
        ids = {
            name: [run[key] for run in runs] for name, key in (("thread_id", "thread_id"), ("run_id", "id"))
        }
        return {**ids, "assistant_id": [plain, caller], "step_id": steps, "message_id": messages}

    def _made(self, path: str, **body: Any) -> dict[str, Any]:
        reply = self._client.post(path, json=body)
        assert reply.status_code == 200, (path, reply.text)
        answer: dict[str, Any] = reply.json()
        return answer

    def _uploaded(self, name: str, content: bytes, purpose: str) -> str:
        reply = self._client.post("/files", files={"file": (name, content)}, data={"purpose": purpose})
        return str(reply.json()["id"])

    def _listed(self, path: str) -> list[str]:
        return [one["id"] for one in self._client.get(path).json()["data"]]
