"""Objects of project A, asked for with a key of project B: every route answers as if they had never been."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.jobs.requests import CHAT, chat_line, jsonl
from tests.server.issuing import new_key, new_project
from tests.server.live import LiveServer, live_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.api import Engine

USER = {"role": "user", "content": "Hi"}
OWN_PLACES = ("/v1/organization/", "/v1/models/")
"""Routes with ids that are not a project's own objects; they have tests of their own."""
BODIES: dict[str, Any] = {
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


@dataclass
class Project:
    """What a project has, by the first part of its path; `inner` by the second."""

    http: httpx.Client
    ids: dict[str, str] = field(default_factory=dict)
    inner: dict[str, str] = field(default_factory=dict)

    def made(self, path: str, **fields: Any) -> str:
        reply = self.http.post(path, **fields)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["id"])


@pytest.fixture(scope="module")
def keyed(engine: Engine) -> Iterator[LiveServer]:
    with live_server(engine) as server:
        yield server


@contextmanager
def project(server: LiveServer, name: str) -> Iterator[Project]:
    secret = new_key(server, new_project(server, name)).secret.text
    headers = {"authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
        yield Project(client)


@pytest.fixture(scope="module")
def mine(keyed: LiveServer) -> Iterator[Project]:
    """Project A, with one of everything."""
    with project(keyed, "a") as own:
        fill(own, keyed.model)
        yield own


@pytest.fixture(scope="module")
def theirs(keyed: LiveServer) -> Iterator[Project]:
    """Project B, which has an assistant to ask with, and nothing else."""
    with project(keyed, "b") as own:
        own.ids["assistants"] = own.made("/v1/assistants", json={"model": keyed.model})
        yield own


def fill(own: Project, model: str) -> None:
    upload = {"files": {"file": ("a.jsonl", jsonl(chat_line(1, model=model)))}, "data": {"purpose": "batch"}}
    file = own.ids["files"] = own.made("/v1/files", **upload)
    batch = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
    own.ids["batches"] = own.made("/v1/batches", json=batch)
    asked = {"model": model, "messages": [USER], "max_tokens": 1, "store": True}
    own.ids["chat"] = own.made("/v1/chat/completions", json=asked)
    answer = {"model": model, "input": "Hi", "max_output_tokens": 16}
    own.ids["responses"] = own.made("/v1/responses", json=answer)
    said = {"items": [{"type": "message", **USER}]}
    own.ids["conversations"] = own.made("/v1/conversations", json=said)
    listed = own.http.get(f"/v1/conversations/{own.ids['conversations']}/items").json()
    own.inner["items"] = listed["data"][0]["id"]
    own.ids["assistants"] = own.made("/v1/assistants", json={"model": model})
    thread = own.ids["threads"] = own.made("/v1/threads", json={})
    own.inner["messages"] = own.made(f"/v1/threads/{thread}/messages", json=USER)
    run = {"assistant_id": own.ids["assistants"]}
    own.inner["runs"] = own.made(f"/v1/threads/{thread}/runs", json=run)
    store = own.ids["vector_stores"] = own.made("/v1/vector_stores", json={})
    own.inner["files"] = own.made(f"/v1/vector_stores/{store}/files", json={"file_id": file})
    own.inner["file_batches"] = own.made(f"/v1/vector_stores/{store}/file_batches", json={"file_ids": [file]})
    own.inner["steps"] = "step_" + 24 * "x"


def made_up(id_: str) -> str:
    """An id of the same kind that is nobody's."""
    prefix = re.match("[a-z]+[-_]", id_)
    assert prefix, id_
    return prefix[0] + "0" * (len(id_) - len(prefix[0]))


def told(theirs: Project, method: str, path: str, *ids: str, body: Any = None) -> tuple[int, str]:
    """What B is answered, with the ids that B itself has sent left out."""
    reply = theirs.http.request(method, path, json=body if method in ("POST", "PUT") else None)
    text = reply.text
    for one in ids:
        text = text.replace(one, "ID")
    return reply.status_code, text


def asked_for(keyed: LiveServer) -> list[tuple[str, str]]:
    """Every route with an id of a project's own."""
    paths = httpx.get(f"{keyed.url}/openapi.json").json()["paths"]
    return [
        (method.upper(), path)
        for path, methods in paths.items()
        if path.startswith("/v1/") and "{" in path and not path.startswith(OWN_PLACES)
        for method in methods
    ]


def test_every_route_answers_as_if_it_had_never_been(
    keyed: LiveServer, mine: Project, theirs: Project
) -> None:
    routes, runs = asked_for(keyed), {"assistant_id": theirs.ids["assistants"]}
    bodies = BODIES | {"/v1/threads/{}/runs": runs}
    assert len(routes) > 40
    for method, path in routes:
        parts = path.split("/")
        noun = parts[2]
        pattern = re.sub(r"\{[^}]*\}", "{}", path)
        wanted = [mine.ids[noun] if not i else mine.inner[inner] for i, inner in enumerate(_nouns(parts))]
        nobodys = [made_up(one) for one in wanted]
        body = bodies.get(pattern, {"metadata": {"a": "b"}})
        found = told(theirs, method, pattern.format(*wanted), *wanted, body=body)
        never = told(theirs, method, pattern.format(*nobodys), *nobodys, body=body)
        assert found == never, (method, path)
        assert found[0] == 404, (method, path, found)
    for noun, own in mine.ids.items():
        middle = "chat/completions" if noun == "chat" else noun
        assert mine.http.get(f"/v1/{middle}/{own}").status_code == 200, "and is still there"


def test_an_id_with_nul_is_nobodys(keyed: LiveServer, mine: Project) -> None:
    for method, path in asked_for(keyed):
        reply = mine.http.request(method, re.sub(r"\{[^}]*\}", "x%00", path), json={})
        assert reply.status_code == 404, (method, path)
        assert "NUL" in reply.json()["error"]["message"]


def _nouns(parts: list[str]) -> list[str]:
    """What stands before each id of a path."""
    return [parts[place - 1] for place, part in enumerate(parts) if part.startswith("{")]


def test_lists_are_empty_and_cursors_tell_nothing(mine: Project, theirs: Project) -> None:
    for noun in ("files", "batches", "chat/completions", "assistants", "vector_stores"):
        own = mine.ids[noun.partition("/")[0]]
        listed = [one["id"] for one in theirs.http.get(f"/v1/{noun}").json()["data"]]
        assert listed == ([theirs.ids[noun]] if noun in theirs.ids else [])
        for name in ("after", "before"):
            queries = [f"/v1/{noun}?{name}={one}" for one in (own, made_up(own))]
            replies = [told(theirs, "GET", query, own, made_up(own)) for query in queries]
            assert replies[0] == replies[1]


@pytest.mark.parametrize(
    ("path", "field", "noun"),
    [
        ("/v1/batches", "input_file_id", "files"),
        ("/v1/responses", "previous_response_id", "responses"),
        ("/v1/responses", "conversation", "conversations"),
        ("/v1/threads/runs", "assistant_id", "assistants"),
    ],
)
def test_what_a_request_refers_to(
    mine: Project, theirs: Project, keyed: LiveServer, path: str, field: str, noun: str
) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "/v1/batches": {"endpoint": CHAT, "completion_window": "24h"},
        "/v1/responses": {"model": keyed.model, "input": "Hi"},
        "/v1/threads/runs": {},
    }
    ids = [mine.ids[noun], made_up(mine.ids[noun])]
    found, never = (told(theirs, "POST", path, one, body={**bodies[path], field: one}) for one in ids)
    assert found == never
    assert found[0] in (400, 404)
