"""Objects of project A, asked for with a key of project B: every route answers as if they had never been."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy import event

from pennyweight.jobs.trainer_process import Trainer
from tests.jobs.requests import CHAT
from tests.jobs.tuning import STAND_IN, examples
from tests.server.issuing import new_key, new_project
from tests.server.live import LiveServer, eventually, live_server
from tests.server.one_of_each import (
    BODIES,
    TOP,
    TUNING,
    USER,
    Project,
    fill,
    ids_in,
    train,
    with_blanks,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.api import Engine

OWN_PLACES = ("/v1/organization/", "/v1/models/")
"""Routes with ids that are not a project's own objects; they have tests of their own."""
SEARCHES = {"tool_resources": {"file_search": {"vector_store_ids": ["VECTOR_STORES"]}}}
SEARCHED = {"file_id": "FILES", "tools": [{"type": "file_search"}]}
OF_EACH_ANSWER = ("date", "x-request-id", "openai-processing-ms", "content-length")
"""Headers that no two answers have in common; the length is that of the text."""


@pytest.fixture(scope="module")
def keyed(engine: Engine) -> Iterator[LiveServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "here", lambda: STAND_IN)
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
        train(own)
        batch, store = (f"/v1/{noun}/{own.ids[noun]}" for noun in ("batches", "vector_stores"))
        eventually(lambda: own.http.get(batch).json()["status"] == "completed")
        eventually(lambda: own.http.get(store).json()["status"] == "completed")
        yield own


@pytest.fixture(scope="module")
def theirs(keyed: LiveServer) -> Iterator[Project]:
    """Project B, which has something of its own to put others' objects into or beside, and nothing else."""
    with project(keyed, "b") as own:
        own.ids["assistants"] = own.made("/v1/assistants", json={"model": keyed.model})
        own.ids["threads"] = own.made("/v1/threads", json={})
        own.ids["conversations"] = own.made("/v1/conversations", json={})
        own.ids["vector_stores"] = own.made("/v1/vector_stores", json={})
        data = {"files": {"file": ("t.jsonl", examples())}, "data": {"purpose": "fine-tune"}}
        own.ids["examples"] = own.made("/v1/files", **data)
        tuned = {"model": keyed.model, "training_file": own.ids["examples"]}
        own.ids["jobs"] = own.made(TUNING, json=tuned)
        train(own)
        yield own


def made_up(id_: str) -> str:
    """An id of the same kind that is nobody's."""
    prefix = re.match("[a-z]+[-_]", id_)
    assert prefix, id_
    return prefix[0] + "0" * (len(id_) - len(prefix[0]))


@dataclass
class Told:
    """What B learns from one answer. `asked` are the questions to the database that name an id B has sent."""

    status: int
    text: str
    headers: dict[str, str]
    asked: list[str] = field(default_factory=list)


def told(keyed: LiveServer, theirs: Project, method: str, path: str, *ids: str, body: Any = None) -> Told:
    """What B is answered, with the ids that B itself has sent left out, and what that took."""
    with questions(keyed, ids) as asked:
        reply = theirs.http.request(method, path, json=body if method in ("POST", "PUT") else None)
    text = reply.text
    for one in ids:
        text = text.replace(one, "ID")
    headers = {name: value for name, value in reply.headers.items() if name not in OF_EACH_ANSWER}
    return Told(reply.status_code, text, headers, asked)


@contextmanager
def questions(keyed: LiveServer, ids: tuple[str, ...]) -> Iterator[list[str]]:
    """Statements of SQL with one of `ids` among their values: an answer that takes as many takes as long."""
    engines, found = keyed.services.database._engines, list[str]()

    def note(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
        if any(one in repr(values) for one in ids):
            found.append(statement)

    for engine in (engines.reading, engines.writing):
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        for engine in (engines.reading, engines.writing):
            event.remove(engine, "before_cursor_execute", note)


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
    bodies = {**BODIES, "/v1/threads/{}/runs": runs}
    assert len(routes) > 40
    for method, path in routes:
        pattern, wanted = with_blanks(path), ids_in(path, mine.ids)
        nobodys = [made_up(one) for one in wanted]
        body = bodies.get(pattern, {"metadata": {"a": "b"}})
        found = told(keyed, theirs, method, pattern.format(*wanted), *wanted, body=body)
        never = told(keyed, theirs, method, pattern.format(*nobodys), *nobodys, body=body)
        assert found == never, (method, path)
        assert found.status == 404, (method, path, found)
        assert found.asked, (method, path)
    for place in (*TOP, "chat/completions", "fine_tuning/jobs"):
        own = mine.ids[place.rpartition("/")[2]]
        assert mine.http.get(f"/v1/{place}/{own}").status_code == 200, "and is still there"


def test_an_id_with_nul_is_nobodys(keyed: LiveServer, mine: Project) -> None:
    for method, path in asked_for(keyed):
        reply = mine.http.request(method, re.sub(r"\{[^}]*\}", "x%00", path), json={})
        assert reply.status_code == 404, (method, path)
        assert "NUL" in reply.json()["error"]["message"]


def test_anothers_object_inside_of_ones_own(keyed: LiveServer, mine: Project, theirs: Project) -> None:
    """B's thread and A's message, B's store and A's file: as with an id that is nobody's."""
    inside = [(method, path) for method, path in asked_for(keyed) if path.count("{") > 1]
    assert len(inside) > 15
    for method, path in inside:
        pattern, (_, *wanted) = with_blanks(path), ids_in(path, mine.ids)
        own, nobodys = ids_in(path.partition("}")[0] + "}", theirs.ids), [made_up(one) for one in wanted]
        body = BODIES.get(pattern, {"metadata": {"a": "b"}})
        found = told(keyed, theirs, method, pattern.format(*own, *wanted), *wanted, body=body)
        never = told(keyed, theirs, method, pattern.format(*own, *nobodys), *nobodys, body=body)
        assert found == never, (method, path)
        assert found.status == 404, (method, path, found)
        assert found.asked, (method, path)


def test_lists_are_empty_and_cursors_tell_nothing(keyed: LiveServer, mine: Project, theirs: Project) -> None:
    thread, conversation = theirs.ids["threads"], theirs.ids["conversations"]
    stored, job = theirs.ids["vector_stores"], theirs.ids["jobs"]
    for path, own, theirs_own in (
        ("files", mine.ids["files"], [theirs.ids["results"], theirs.ids["examples"]]),
        ("fine_tuning/jobs", mine.ids["jobs"], [job]),
        ("batches", mine.ids["batches"], []),
        ("chat/completions", mine.ids["completions"], []),
        ("assistants", mine.ids["assistants"], [theirs.ids["assistants"]]),
        ("vector_stores", mine.ids["vector_stores"], [stored]),
        (f"threads/{thread}/messages", mine.ids["messages"], []),
        (f"threads/{thread}/runs", mine.ids["runs"], []),
        (f"conversations/{conversation}/items", mine.ids["items"], []),
        (f"vector_stores/{stored}/files", mine.ids["files"], []),
    ):
        listed = [one["id"] for one in theirs.http.get(f"/v1/{path}").json()["data"]]
        assert sorted(listed) == sorted(theirs_own)
        cursors_tell_nothing(keyed, theirs, path, own)
    for noun in ("events", "checkpoints"):
        path, own = f"fine_tuning/jobs/{job}/{noun}", mine.ids[noun]
        assert own not in {one["id"] for one in theirs.http.get(f"/v1/{path}").json()["data"]}
        cursors_tell_nothing(keyed, theirs, path, own)


def cursors_tell_nothing(keyed: LiveServer, theirs: Project, path: str, own: str) -> None:
    for name in ("after", "before", "run_id"):
        queries = [f"/v1/{path}?{name}={one}" for one in (own, made_up(own))]
        replies = [told(keyed, theirs, "GET", query, own, made_up(own)) for query in queries]
        assert replies[0] == replies[1], (path, name)


def test_what_others_do_moves_no_counter(mine: Project, theirs: Project, keyed: LiveServer) -> None:
    """Neither what is left of a rate, nor what usage tells, nor the queue: they are others' business."""
    counters = ("/metrics", "/v1/organization/usage/completions?start_time=0", "/v1/organization/costs")
    assert {theirs.http.get(path).status_code for path in counters} == {403}
    assert set(theirs.http.get("/health").json()) == set(httpx.get(f"{keyed.url}/health").json())
    limited = new_key(keyed, new_project(keyed, "c"), requests_per_minute=9, tokens_per_minute=9000)
    headers = {"authorization": f"Bearer {limited.secret.text}"}
    asked = {"model": keyed.model, "prompt": "x", "max_tokens": 1}
    for left in (8, 7):
        reply = httpx.post(f"{keyed.url}/v1/completions", json=asked, headers=headers, timeout=60)
        assert reply.headers["x-ratelimit-remaining-requests"] == str(left)
        assert mine.http.post("/v1/completions", json=asked).status_code == 200


REFERENCES: list[tuple[str, Any]] = [
    ("/v1/batches", {"input_file_id": "FILES", "endpoint": CHAT, "completion_window": "24h"}),
    ("/v1/responses", {"previous_response_id": "RESPONSES"}),
    ("/v1/responses", {"conversation": "CONVERSATIONS"}),
    ("/v1/responses", {"input": [{"type": "item_reference", "id": "ITEMS"}]}),
    ("/v1/responses", {"tools": [{"type": "file_search", "vector_store_ids": ["VECTOR_STORES"]}]}),
    (
        "/v1/responses",
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "FILES"}]}]},
    ),
    (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "FILES"}}]}]},
    ),
    ("/v1/assistants", SEARCHES),
    (
        "/v1/assistants/{assistants}",
        {"tool_resources": {"file_search": {"vector_store_ids": ["VECTOR_STORES"]}}},
    ),
    ("/v1/threads", SEARCHES),
    ("/v1/threads/{threads}", SEARCHES),
    ("/v1/threads/{threads}/messages", {**USER, "attachments": [SEARCHED]}),
    ("/v1/threads", {"messages": [{**USER, "attachments": [SEARCHED]}]}),
    ("/v1/threads/runs", {"assistant_id": "ASSISTANTS"}),
    ("/v1/threads/{threads}/runs", {"assistant_id": "ASSISTANTS"}),
    (
        "/v1/threads/{threads}/runs",
        {"assistant_id": "{assistants}", "additional_messages": [{**USER, "attachments": [SEARCHED]}]},
    ),
    (TUNING, {"training_file": "EXAMPLES"}),
    (TUNING, {"training_file": "{examples}", "validation_file": "EXAMPLES"}),
    ("/v1/vector_stores", {"file_ids": ["FILES"]}),
    ("/v1/vector_stores/{vector_stores}/files", {"file_id": "FILES"}),
    ("/v1/vector_stores/{vector_stores}/file_batches", {"file_ids": ["FILES"]}),
]
"""Requests of B; words in capitals stand for A's ids, or for ids that are nobody's."""


@pytest.mark.parametrize(("path", "body"), REFERENCES)
def test_what_a_request_refers_to(
    mine: Project, theirs: Project, keyed: LiveServer, path: str, body: dict[str, Any]
) -> None:
    if path.startswith(("/v1/responses", "/v1/chat", "/v1/assistants", TUNING)):
        body = {"model": keyed.model, **body}
    if path == "/v1/responses":
        body = {"input": "Hi", **body}
    replies = []
    for change in (str, made_up):
        text = json.dumps(body)
        sent = {noun: change(one) for noun, one in mine.ids.items()}
        for noun, one in sent.items():
            text = text.replace(f'"{noun.upper()}"', json.dumps(one))
        for noun, one in theirs.ids.items():
            text = text.replace(f'"{{{noun}}}"', json.dumps(one))
        place = path.format(**theirs.ids)
        replies.append(told(keyed, theirs, "POST", place, *sent.values(), body=json.loads(text)))
    assert replies[0] == replies[1]
    assert replies[0].status in (400, 404), replies[0]
