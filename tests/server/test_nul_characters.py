"""A NUL in any text a client sends: stored as it is, or a 400; on PostgreSQL too, which cannot store it."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pennyweight.api import Engine
from tests.models.tiny import write_tiny_llama
from tests.models.tiny_encoder import write_encoder_folder
from tests.server.live import LiveServer, eventually, live_server
from tests.store.postgres_server import postgres_server

if TYPE_CHECKING:
    from collections.abc import Iterator


NUL = "a\0b"
ASK = {"model": "gpt-4o-mini", "max_tokens": 1}
TALK = [{"role": "user", "content": "Hi", "name": "me"}]
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object", "description": "d"}}
BODIES: dict[str, dict[str, Any]] = {
    "chat/completions": {
        **ASK,
        "messages": [
            {"role": "system", "content": "Be."},
            *TALK,
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
        ],
        "store": True,
        "metadata": {"a": "b"},
        "user": "u",
        "stop": ["s"],
        "tools": [{"type": "function", "function": FUNCTION}],
    },
    "completions": {**ASK, "prompt": "Hi", "suffix": "s", "user": "u", "stop": "s"},
    "embeddings": {"model": "text-embedding-3-small", "input": ["Hi"], "user": "u"},
    "responses": {
        "model": "gpt-4o-mini",
        "max_output_tokens": 1,
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        "instructions": "Be.",
        "metadata": {"a": "b"},
        "user": "u",
        "prompt_cache_key": "k",
        "safety_identifier": "i",
    },
    "conversations": {"metadata": {"a": "b"}, "items": [{"role": "user", "content": "Hi"}]},
    "assistants": {
        "model": "gpt-4o-mini",
        "name": "n",
        "description": "d",
        "instructions": "i",
        "metadata": {"a": "b"},
        "tools": [{"type": "function", "function": FUNCTION}],
    },
    "threads": {
        "metadata": {"a": "b"},
        "messages": [{"role": "user", "content": "Hi", "metadata": {"a": "b"}}],
    },
    "threads/runs": {
        "assistant_id": "ASSISTANT",
        "instructions": "i",
        "metadata": {"a": "b"},
        "thread": {"messages": [{"role": "user", "content": "Hi"}]},
    },
    "vector_stores": {"name": "n", "description": "d", "metadata": {"a": "b"}},
    "vector_stores/STORE/files": {"file_id": "FILE", "attributes": {"a": "b"}},
    "vector_stores/STORE/search": {"query": "cat", "filters": {"type": "eq", "key": "a", "value": "b"}},
    "batches": {
        "input_file_id": "FILE",
        "endpoint": "/v1/completions",
        "completion_window": "24h",
        "metadata": {"a": "b"},
    },
}
QUERIES = (
    "files?after={}",
    "files?purpose={}",
    "batches?after={}",
    "chat/completions?after={}",
    "chat/completions?model={}",
    "chat/completions?metadata[{}]=b",
    "chat/completions?metadata[a]={}",
    "assistants?before={}",
    "threads/{}/messages",
    "responses/{}",
    "conversations/{}/items",
    "vector_stores?after={}",
    "organization/usage/completions?start_time=1&models={}",
    "organization/usage/completions?start_time=1&project_ids={}",
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("server")
    model, encoder = write_tiny_llama(folder / "tiny.gguf"), write_encoder_folder(folder / "tiny-encoder")
    with Engine.open(model, parallel=2, threads=1, embedding_model=encoder) as engine:
        yield engine


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, engine: Engine) -> Iterator[LiveServer]:
    if request.param == "sqlite":
        with live_server(engine) as server:
            yield server
        return
    with postgres_server() as postgres, live_server(engine, database=postgres.new_database()) as server:
        yield server


@pytest.fixture(scope="module")
def named(kept: LiveServer) -> dict[str, str]:
    """What stands for ids in bodies and paths."""
    client = kept.client()
    return {
        "ASSISTANT": client.beta.assistants.create(model="gpt-4o-mini").id,
        "STORE": client.vector_stores.create().id,
        "FILE": client.files.create(file=("a.txt", b"cat"), purpose="batch").id,
    }


def spoilt(value: Any) -> Iterator[tuple[str, Any]]:
    """`value` with a NUL in one of its texts or keys of maps, for each of them; and where that is."""
    if isinstance(value, str):
        yield "", NUL
    elif isinstance(value, list):
        for index, item in enumerate(value):
            for path, changed in spoilt(item):
                yield f"[{index}]{path}", [*value[:index], changed, *value[index + 1 :]]
    elif isinstance(value, dict):
        for key, item in value.items():
            for path, changed in spoilt(item):
                yield f".{key}{path}", {**value, key: changed}
            if key == "a":  # of metadata, attributes
                yield f".{key}(key)", {NUL: item}


CASES = [
    (path, where, body) for path, whole in BODIES.items() for where, body in spoilt(copy.deepcopy(whole))
]


@pytest.mark.parametrize(("path", "where", "body"), CASES, ids=[f"{path}{where}" for path, where, _ in CASES])
def test_a_body(kept: LiveServer, named: dict[str, str], path: str, where: str, body: dict[str, Any]) -> None:
    text = json.dumps(body)
    for word, own in named.items():
        path, text = path.replace(word, own), text.replace(word, own)
    answer = httpx.post(f"{kept.url}/v1/{path}", content=text, timeout=60)
    assert answer.status_code in (200, 400, 404), (where, answer.text)
    if answer.status_code != 200:
        assert answer.json()["error"]["message"]
        return
    made = answer.json()
    if where.startswith((".metadata", ".name", ".description", ".instructions", ".attributes")):
        again = httpx.get(f"{kept.url}/v1/{path}/{made['id']}", timeout=60)
        if again.status_code == 200 and "run" not in path:
            field = where[1:].split(".")[0]
            assert again.json()[field] == body[field], "as it was sent"


@pytest.mark.parametrize("path", QUERIES)
def test_a_path_or_query(kept: LiveServer, path: str) -> None:
    answer = httpx.get(f"{kept.url}/v1/{path.format('a%00b')}", timeout=60)
    assert answer.status_code in (200, 400, 404), answer.text


@pytest.mark.parametrize("part", ["filename", "purpose"])
def test_an_upload(kept: LiveServer, part: str) -> None:
    values = {"filename": "a.txt", "purpose": "user_data"} | {part: NUL}
    head = b'--x\r\ncontent-disposition: form-data; name="%s"'
    body = head % b"purpose" + b"\r\n\r\n" + values["purpose"].encode() + b"\r\n"
    body += head % b"file" + b'; filename="' + values["filename"].encode() + b'"\r\n\r\na\0b\r\n--x--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = httpx.post(f"{kept.url}/v1/files", content=body, headers=headers, timeout=60)
    assert answer.status_code in (200, 400), answer.text
    if answer.status_code == 200:
        file = answer.json()
        assert httpx.get(f"{kept.url}/v1/files/{file['id']}/content").content == b"a\0b"
        assert httpx.get(f"{kept.url}/v1/files/{file['id']}").json()["filename"] == file["filename"]


def test_lines_of_a_batch(kept: LiveServer) -> None:
    """One that is wrong tells its line; the others are answered, and counted."""
    client = kept.client()
    whole = {
        "custom_id": "c",
        "method": "POST",
        "url": "/v1/completions",
        "body": {**ASK, "prompt": "p", "user": "u"},
    }
    lines = [line for _, line in spoilt(whole)]
    ends = set()
    for index, line in enumerate(lines):
        raw = json.dumps(line).encode() + b"\n"
        file = client.files.create(file=("in.jsonl", raw), purpose="batch")
        made = client.batches.create(
            input_file_id=file.id, endpoint="/v1/completions", completion_window="24h"
        )
        eventually(lambda made=made: client.batches.retrieve(made.id).status in ("completed", "failed"))  # type: ignore[misc]
        batch = client.batches.retrieve(made.id)
        ends.add(batch.status)
        if batch.status == "failed":
            assert batch.errors is not None
            assert batch.errors.data
            assert batch.errors.data[0].line == 1, index
        elif batch.output_file_id is not None:
            output = json.loads(client.files.content(batch.output_file_id).read())
            assert output["custom_id"] == line["custom_id"]
    assert ends == {"completed", "failed"}


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.html", "a.csv", "a.txt"])
def test_a_file_in_a_vector_store(kept: LiveServer, name: str) -> None:
    """Read, or failed with a reason; never tried again and again."""
    client = kept.client()
    text = {"a.html": "<p>cat &#0; sat</p>", "a.txt": "x" * 5000 + " cat \0 sat"}.get(
        name, '{"a": "cat \\u0000 sat"}'
    )
    file = client.files.create(file=(name, text.encode()), purpose="assistants")
    store = client.vector_stores.create(file_ids=[file.id]).id
    eventually(lambda: client.vector_stores.retrieve(store).status == "completed")
    (found,) = client.vector_stores.files.list(store)
    assert found.status == "completed" or found.last_error is not None
    assert found.last_error is None or found.last_error.code != "server_error"


def test_usage_goes_on(kept: LiveServer) -> None:
    """After all of these: no row waits for a database that would never take it."""
    eventually(lambda: kept.services.usage.num_waiting == 0)
    assert kept.services.usage.failure is None
