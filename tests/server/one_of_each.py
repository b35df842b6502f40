"""A project with one of everything that is kept, and what its routes want to be sent."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.jobs.requests import CHAT, chat_line, jsonl
from tests.jobs.tuning import examples
from tests.server.live import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

USER = {"role": "user", "content": "Hi"}
BODIES: Final[Mapping[str, Any]] = {
    "/v1/conversations/{}/items": {"items": [{"type": "message", **USER}]},
    "/v1/threads/{}/messages": USER,
    "/v1/threads/{}/runs/{}/submit_tool_outputs": {
        "tool_outputs": [{"tool_call_id": "call_x", "output": "x"}]
    },
    "/v1/vector_stores/{}/search": {"query": "x"},
    "/v1/vector_stores/{}/files": {"file_id": "file-x"},
    "/v1/vector_stores/{}/files/{}": {"attributes": {}},
    "/v1/vector_stores/{}/file_batches": {"file_ids": ["file-x"]},
}
"""Of POST routes that want other things than metadata."""


TUNING: Final = "/v1/fine_tuning/jobs"
TOP: Final = ("files", "batches", "responses", "conversations", "assistants", "threads", "vector_stores")
"""What is there at `/v1/NOUN/ID`; beside it there are stored chats, and what is inside of these."""


@dataclass
class Project:
    """What a project has, by what stands before its id in a path."""

    http: httpx.Client
    ids: dict[str, str] = field(default_factory=dict)

    def made(self, path: str, **fields: Any) -> str:
        reply = self.http.post(path, **fields)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["id"])


def fill(own: Project, model: str) -> None:
    """Make one of everything; a stand-in trains."""
    data = {"files": {"file": ("t.jsonl", examples("slow"))}, "data": {"purpose": "fine-tune"}}
    own.ids["examples"] = own.made("/v1/files", **data)
    own.ids["jobs"] = own.made(TUNING, json={"model": model, "training_file": own.ids["examples"]})
    upload = {"files": {"file": ("a.jsonl", jsonl(chat_line(1, model=model)))}, "data": {"purpose": "batch"}}
    file = own.ids["files"] = own.made("/v1/files", **upload)
    batch = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
    own.ids["batches"] = own.made("/v1/batches", json=batch)
    asked = {"model": model, "messages": [USER], "max_tokens": 1, "store": True}
    own.ids["completions"] = own.made("/v1/chat/completions", json=asked)
    answer = {"model": model, "input": "Hi", "max_output_tokens": 16}
    own.ids["responses"] = own.made("/v1/responses", json=answer)
    said = {"items": [{"type": "message", **USER}]}
    own.ids["conversations"] = own.made("/v1/conversations", json=said)
    listed = own.http.get(f"/v1/conversations/{own.ids['conversations']}/items").json()
    own.ids["items"] = listed["data"][0]["id"]
    own.ids["assistants"] = own.made("/v1/assistants", json={"model": model})
    thread = own.ids["threads"] = own.made("/v1/threads", json={})
    own.ids["messages"] = own.made(f"/v1/threads/{thread}/messages", json=USER)
    run = {"assistant_id": own.ids["assistants"], "max_completion_tokens": 4}
    own.ids["runs"] = own.made(f"/v1/threads/{thread}/runs", json=run)
    store = own.ids["vector_stores"] = own.made("/v1/vector_stores", json={})
    assert own.made(f"/v1/vector_stores/{store}/files", json={"file_id": file}) == file
    own.ids["file_batches"] = own.made(f"/v1/vector_stores/{store}/file_batches", json={"file_ids": [file]})
    made = f"/v1/threads/{thread}/runs/{own.ids['runs']}"
    eventually(lambda: own.http.get(made).json()["status"] in ("completed", "incomplete"))
    own.ids["steps"] = own.http.get(f"{made}/steps").json()["data"][0]["id"]


def train(own: Project) -> None:
    """Wait until its job has ended; what it has told and kept by then stays as it is."""
    job = f"{TUNING}/{own.ids['jobs']}"
    eventually(lambda: own.http.get(job).json()["status"] == "succeeded")
    own.ids["results"] = own.http.get(job).json()["result_files"][0]
    for noun in ("events", "checkpoints"):
        own.ids[noun] = own.http.get(f"{job}/{noun}").json()["data"][-1]["id"]


def ids_in(path: str, ids: Mapping[str, str]) -> list[str]:
    """What stands for each `{...}` of a path of the document."""
    parts = path.split("/")
    return [ids[parts[place - 1]] for place, part in enumerate(parts) if part.startswith("{")]


def with_blanks(path: str) -> str:
    """A path of the document with `{}` for each id, as `BODIES` has them."""
    return re.sub(r"\{[^}]*\}", "{}", path)
