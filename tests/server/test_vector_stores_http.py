"""Vector stores through the official client, in strict mode: from create to delete, and what is refused."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from pennyweight.api import Engine
from pennyweight.cost.report import read_report
from tests.models.tiny import write_tiny_llama
from tests.models.tiny_encoder import write_encoder_folder
from tests.retrieval.documents import docx, endless_pdf, pdf
from tests.server.issuing import new_admin_key, new_key, new_project
from tests.server.live import LiveServer, eventually, live_server
from tests.store.kept_usage import kept_usage

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTES = {
    "cats.txt": b"The cat sat on the mat. The cat was black.",
    "ships.md": b"# Ships\n\nA ship sails on the sea. It has nine sails.",
    "dogs.html": b"<p>The dog is <b>brown</b>.</p>",
    "table.csv": b"animal,legs\nspider,8\nhen,2\n",
    "list.json": b'[{"animal": "snake", "legs": 0}]',
    "letter.docx": docx("Dear reader,", "a walrus has tusks."),
    "paper.pdf": pdf("An octopus has three hearts."),
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("server")
    model, encoder = write_tiny_llama(folder / "tiny.gguf"), write_encoder_folder(folder / "tiny-encoder")
    with Engine.open(model, parallel=2, threads=1, embedding_model=encoder) as engine:
        yield engine


def upload(client: openai.OpenAI, name: str, content: bytes) -> str:
    return client.files.create(file=(name, content), purpose="assistants").id


@pytest.fixture(scope="module")
def filled(server: LiveServer) -> Iterator[tuple[str, dict[str, str]]]:
    """A store with every format in it, and the ids of its files by name."""
    with server.client() as client:
        ids = {name: upload(client, name, content) for name, content in NOTES.items()}
        store = client.vector_stores.create(name="animals", file_ids=list(ids.values()))
        wait(client, store.id)
        yield store.id, ids


def wait(client: openai.OpenAI, store_id: str) -> Any:
    deadline = time.monotonic() + 60
    while (store := client.vector_stores.retrieve(store_id)).status == "in_progress":
        assert time.monotonic() < deadline, store
        time.sleep(0.02)
    return store


def test_what_was_embedded_is_usage(engine: Engine) -> None:
    """Of files, and of queries with the key that asked, by the routes and by `file_search`; no requests."""
    with live_server(engine) as server:
        project = new_project(server)
        key = new_key(server, project)
        with server.client(key.secret.text) as client:
            store = client.vector_stores.create(file_ids=[upload(client, "cats.txt", b"a cat is a cat")])
            assert wait(client, store.id).file_counts.completed == 1
            found(client, store.id, ["a cat", "a dog and a cat"])
            tool: Any = {"type": "file_search", "vector_store_ids": [store.id]}
            client.responses.create(model=server.model, input="a cat", tools=[tool], max_output_tokens=4)
        eventually(lambda: server.services.usage.num_waiting == 0)
        rows = server.services.database.read_now(lambda c: kept_usage(c, project))
        embedded = [row for row in rows if row.kind == "vector_stores"]
        assert {(row.model, row.outcome, row.price) for row in embedded} == {("tiny-encoder", "completed", 0)}
        of_file, *of_queries = embedded
        with server.client(new_key(server).secret.text, strict=False) as other:
            cat, dog, file = (
                other.embeddings.create(model="tiny-encoder", input=text).usage.prompt_tokens
                for text in ("a cat", "a dog and a cat", "a cat is a cat")
            )
        assert (of_file.endpoint, of_file.key_id) == ("/v1/vector_stores/files", None)
        assert of_file.prompt_tokens == file
        assert {(row.endpoint, row.key_id) for row in of_queries} == {
            ("/v1/vector_stores/search", key.key.id)
        }
        assert sorted(row.prompt_tokens for row in of_queries) == [cat, cat, dog]
        report = server.services.database.read_now(
            lambda c: read_report(c, since=0, until=int(time.time()) + 9, by=("project", "kind"))
        )
        told = {one.of[1]: (one.requests, one.prompt_tokens) for one in report.rows if one.of[0] == project}
        assert told["vector_stores"] == (0, file + 2 * cat + dog)
        assert told["completions"][0] == 1, "the response, whose search is no further request"
        headers = {"authorization": f"Bearer {new_admin_key(server)}"}
        params = {"start_time": str(int(time.time()) - 86_400), "project_ids": project}
        reply = httpx.get(f"{server.url}/v1/organization/usage/embeddings", params=params, headers=headers)
        assert [result for bucket in reply.json()["data"] for result in bucket["results"]] == []


def found(client: openai.OpenAI, store_id: str, query: Any, **options: Any) -> list[str]:
    return [one.filename for one in client.vector_stores.search(store_id, query=query, **options)]


def test_from_create_to_delete(client: openai.OpenAI) -> None:
    store = client.vector_stores.create(
        name="mine", metadata={"a": "b"}, expires_after={"anchor": "last_active_at", "days": 2}
    )
    assert store.id.startswith("vs_")
    assert (store.name, store.status, store.usage_bytes, store.metadata) == (
        "mine",
        "completed",
        0,
        {"a": "b"},
    )
    assert store.expires_at == store.created_at + 2 * 86_400
    file_id = upload(client, "cats.txt", NOTES["cats.txt"])
    file = client.vector_stores.files.create_and_poll(file_id, vector_store_id=store.id, attributes={"n": 1})
    assert (file.status, file.last_error, file.attributes) == ("completed", None, {"n": 1.0})
    assert file.chunking_strategy is not None
    assert file.chunking_strategy.type == "static"
    assert file.chunking_strategy.static.max_chunk_size_tokens == 22, "as many as the encoder reads"
    full = client.vector_stores.retrieve(store.id)
    assert (full.file_counts.completed, full.file_counts.total) == (1, 1)
    assert full.usage_bytes == file.usage_bytes > len(NOTES["cats.txt"])
    (hit,) = client.vector_stores.search(store.id, query="black cat")
    assert (hit.file_id, hit.filename, hit.attributes) == (file_id, "cats.txt", {"n": 1.0})
    assert "The cat was black." in hit.content[0].text
    assert 0 < hit.score <= 1
    text = "".join(
        part.text or "" for part in client.vector_stores.files.content(file_id, vector_store_id=store.id)
    )
    assert text == NOTES["cats.txt"].decode()
    changed = client.vector_stores.files.update(file_id, vector_store_id=store.id, attributes={"n": 2})
    assert changed.attributes == {"n": 2.0}
    renamed = client.vector_stores.update(store.id, name="other", metadata={})
    assert (renamed.name, renamed.metadata) == ("other", {})
    gone = client.vector_stores.files.delete(file_id, vector_store_id=store.id)
    assert (gone.deleted, gone.object) == (True, "vector_store.file.deleted")
    assert found(client, store.id, "black cat") == []
    deleted = client.vector_stores.delete(store.id)
    assert (deleted.deleted, deleted.object) == (True, "vector_store.deleted")
    for call in (client.vector_stores.retrieve, client.vector_stores.delete):
        with pytest.raises(openai.NotFoundError, match="No vector store found"):
            call(store.id)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("how many hearts has an octopus?", "paper.pdf"),
        ("tusks", "letter.docx"),
        ("BROWN", "dogs.html"),
        ("legs of a spider", "table.csv"),
        ("snake", "list.json"),
        ("nine sails", "ships.md"),
    ],
)
def test_every_format_is_found(
    query: str, name: str, filled: tuple[str, dict[str, str]], client: openai.OpenAI
) -> None:
    assert found(client, filled[0], query)[0] == name


def test_what_a_search_may_ask(filled: tuple[str, dict[str, str]], client: openai.OpenAI) -> None:
    store_id, ids = filled
    for year, name in enumerate(("cats.txt", "dogs.html", "ships.md")):
        client.vector_stores.files.update(
            ids[name], vector_store_id=store_id, attributes={"year": 2020 + year}
        )
    assert found(client, store_id, ["octopus", "walrus"], max_num_results=2) in (
        ["paper.pdf", "letter.docx"],
        ["letter.docx", "paper.pdf"],
    )
    late = {"type": "gte", "key": "year", "value": 2021}
    assert set(found(client, store_id, "cat dog ship", filters=late)) == {"dogs.html", "ships.md"}
    none = {"type": "and", "filters": [late, {"type": "eq", "key": "year", "value": 2020}]}
    assert found(client, store_id, "cat", filters=none) == []
    words = {"hybrid_search": {"embedding_weight": 0.0, "text_weight": 1.0}}
    assert found(client, store_id, "octopus", ranking_options=words) == ["paper.pdf"]
    strict = {**words, "score_threshold": 0.99, "ranker": "auto"}
    assert found(client, store_id, "octopus zebra", ranking_options=strict) == []
    assert found(client, store_id, "?!", ranking_options=words) == []
    assert client.vector_stores.retrieve(store_id).last_active_at is not None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": []}, "query"),
        ({"query": ["a"] * 17}, "query"),
        ({"query": "a", "max_num_results": 51}, "max_num_results"),
        ({"query": "a", "rewrite_query": True}, "rewrite_query"),
        ({"query": "a", "filters": {"type": "is"}}, "filters.type"),
        ({"query": "a", "ranking_options": {"ranker": "best"}}, "ranking_options.ranker"),
        ({"query": "a", "ranking_options": {"score_threshold": 2}}, "ranking_options.score_threshold"),
        ({"query": "a", "ranking_options": {"hybrid_search": {}}}, "ranking_options.hybrid_search"),
        ({"query": "a", "colour": 1}, "colour"),
    ],
)
def test_searches_that_are_refused(
    body: dict[str, Any], param: str, filled: tuple[str, dict[str, str]], server: LiveServer
) -> None:
    answer = httpx.post(f"{server.url}/v1/vector_stores/{filled[0]}/search", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text


STATIC = {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
        ({"expires_after": {"anchor": "last_active_at", "days": 366}}, "expires_after.days"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"file_ids": ["file-x"] * 501}, "file_ids"),
        ({"chunking_strategy": {"type": "magic"}}, "chunking_strategy.type"),
        ({"chunking_strategy": {"type": "auto", "static": {}}}, "chunking_strategy.static"),
        ({"chunking_strategy": {"type": "static"}}, "chunking_strategy.static"),
        (
            {"chunking_strategy": {"type": "static", "static": {**STATIC, "chunk_overlap_tokens": 51}}},
            "chunking_strategy.static.chunk_overlap_tokens",
        ),
        (
            {"chunking_strategy": {"type": "static", "static": {**STATIC, "max_chunk_size_tokens": 99}}},
            "chunking_strategy.static.max_chunk_size_tokens",
        ),
        ({"colour": 1}, "colour"),
    ],
)
def test_stores_that_are_refused(body: dict[str, Any], param: str, server: LiveServer) -> None:
    answer = httpx.post(f"{server.url}/v1/vector_stores", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text


def test_files_that_cannot_be_read_say_why(client: openai.OpenAI) -> None:
    store = client.vector_stores.create()
    for name, content, code in (
        ("a.png", b"\x89PNG\r\n\x1a\n", "unsupported_file"),
        ("a.pdf", endless_pdf(), "invalid_file"),
        ("a.json", b"{", "invalid_file"),
    ):
        file = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=(name, content))
        assert file.status == "failed"
        assert file.last_error is not None
        assert (file.last_error.code, file.usage_bytes) == (code, 0)
    assert client.vector_stores.retrieve(store.id).file_counts.failed == 3
    listed = client.vector_stores.files.list(store.id, filter="failed", limit=2)
    assert (len(listed.data), listed.has_more) == (2, True)
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        client.vector_stores.files.create(store.id, file_id="file-none")
    with pytest.raises(openai.NotFoundError, match="No file found with id"):
        client.vector_stores.files.retrieve("file-none", vector_store_id=store.id)
    with pytest.raises(openai.BadRequestError):
        client.vector_stores.files.list(store.id, filter="lost")  # type: ignore[arg-type]


def test_batches_of_files(client: openai.OpenAI, server: LiveServer) -> None:
    store = client.vector_stores.create()
    ids = [upload(client, f"{n}.txt", f"number {n}".encode()) for n in range(3)]
    batch = client.vector_stores.file_batches.create_and_poll(store.id, file_ids=ids, attributes={"b": True})
    assert (batch.status, batch.file_counts.completed, batch.file_counts.total) == ("completed", 3, 3)
    listed = list(client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, limit=2))
    assert sorted(file.id for file in listed) == sorted(ids)
    assert all(file.attributes == {"b": True} for file in listed)
    again = client.vector_stores.file_batches.create_and_poll(
        store.id,
        files=[
            {"file_id": ids[0], "attributes": {"c": "x"}},
            {"file_id": ids[1], "chunking_strategy": {"type": "static", "static": STATIC}},  # type: ignore[typeddict-item]
        ],
    )
    assert again.file_counts.completed == 2
    assert client.vector_stores.retrieve(store.id).file_counts.total == 3, "what is there is read anew"
    sized = client.vector_stores.files.retrieve(ids[1], vector_store_id=store.id).chunking_strategy
    assert sized is not None
    assert sized.type == "static"
    assert sized.static.max_chunk_size_tokens == 100
    for body in ({}, {"file_ids": ids, "files": []}, {"files": [{"file_id": ids[0]}], "attributes": {}}):
        answer = httpx.post(f"{server.url}/v1/vector_stores/{store.id}/file_batches", json=body)
        assert answer.status_code == 400, answer.text
    with pytest.raises(openai.NotFoundError, match="No file batch found"):
        client.vector_stores.file_batches.retrieve("vsfb_x", vector_store_id=store.id)


def test_a_batch_is_cancelled(client: openai.OpenAI) -> None:
    store = client.vector_stores.create()
    long = b"The cat sat on the mat. " * 20_000
    ids = [upload(client, f"{n}.txt", long) for n in range(4)]
    batch = client.vector_stores.file_batches.create(store.id, file_ids=ids)
    cancelled = client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    assert (cancelled.status, cancelled.file_counts.in_progress) == ("cancelled", 0)
    assert cancelled.file_counts.cancelled + cancelled.file_counts.completed == 4
    assert wait(client, store.id).status == "completed"


def test_a_deleted_file_is_found_no_more(client: openai.OpenAI) -> None:
    file_id = upload(client, "secret.txt", b"the password is swordfish")
    store = client.vector_stores.create(file_ids=[file_id])
    wait(client, store.id)
    assert found(client, store.id, "swordfish") == ["secret.txt"]
    client.files.delete(file_id)
    assert found(client, store.id, "swordfish") == []
    assert client.vector_stores.retrieve(store.id).file_counts.total == 0


def test_lists_and_pages(client: openai.OpenAI) -> None:
    ids = [client.vector_stores.create(name=str(n)).id for n in range(3)]
    listed = [store.id for store in client.vector_stores.list(limit=2)]
    assert set(ids) <= set(listed)
    before = client.vector_stores.list(before=listed[2], limit=1)
    assert [store.id for store in before.data] == [listed[1]]


def test_another_project_sees_nothing(engine: Engine) -> None:
    with live_server(engine) as server:
        mine, theirs = (server.client(new_key(server, new_project(server)).secret.text) for _ in range(2))
        file_id = upload(mine, "a.txt", b"a secret of project one")
        store = mine.vector_stores.create(file_ids=[file_id])
        wait(mine, store.id)
        assert found(mine, store.id, "secret") == ["a.txt"]
        own = theirs.vector_stores.create()
        calls: list[Any] = [
            lambda: theirs.vector_stores.retrieve(store.id),
            lambda: theirs.vector_stores.update(store.id, name="x"),
            lambda: theirs.vector_stores.delete(store.id),
            lambda: theirs.vector_stores.search(store.id, query="secret"),
            lambda: theirs.vector_stores.files.list(store.id),
            lambda: theirs.vector_stores.files.retrieve(file_id, vector_store_id=store.id),
            lambda: theirs.vector_stores.files.content(file_id, vector_store_id=store.id),
            lambda: theirs.vector_stores.files.delete(file_id, vector_store_id=store.id),
            lambda: theirs.vector_stores.files.create(own.id, file_id=file_id),
            lambda: theirs.vector_stores.file_batches.create(own.id, file_ids=[file_id]),
        ]
        for call in calls:
            with pytest.raises(openai.NotFoundError):
                call()
        assert [one.id for one in theirs.vector_stores.list()] == [own.id]
        assert mine.vector_stores.retrieve(store.id).file_counts.completed == 1
