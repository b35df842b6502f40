"""Embeddings over HTTP: a real server, the official client, a tiny real encoder."""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from pennyweight.api import Engine
from pennyweight.errors import InvalidRequestError
from pennyweight.system_memory import resident_memory
from tests.models.tiny import write_tiny_llama
from tests.models.tiny_encoder import VOCABULARY, write_encoder_folder
from tests.server.live import LiveServer, eventually, live_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "tiny-encoder"
ALIAS = "text-embedding-3-small"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("embeddings")
    encoder = write_encoder_folder(folder / NAME)
    model = write_tiny_llama(folder / "tiny.gguf")
    with (
        Engine.open(model, parallel=2, threads=1, embedding_model=encoder) as engine,
        live_server(engine) as server,
    ):
        yield server


def _loose(server: LiveServer) -> openai.OpenAI:
    """The client asks for base64 by itself, and refuses it in strict mode, OpenAI's own too."""
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0)


@pytest.fixture
def client(server: LiveServer) -> Iterator[openai.OpenAI]:
    with _loose(server) as client:
        yield client


def test_the_strict_client_gets_floats(server: LiveServer) -> None:
    with server.client() as strict:
        answer = strict.embeddings.create(model=ALIAS, input="the cat", encoding_format="float")
    assert [item.embedding for item in answer.data] == server.engine.embed("the cat")


def _post(server: LiveServer, **body: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/embeddings", json={"model": NAME, **body}, timeout=60)


def test_the_official_client_gets_vectors_in_order(server: LiveServer, client: openai.OpenAI) -> None:
    texts = ["the cat", "a ship on the sea", "the cat"]
    answer = client.embeddings.create(model=ALIAS, input=texts)
    assert (answer.object, answer.model) == ("list", NAME)
    assert [item.index for item in answer.data] == [0, 1, 2]
    # The client asks for base64 and makes floats of it.
    assert [item.embedding for item in answer.data] == server.engine.embed(texts)
    assert answer.data[0].embedding == answer.data[2].embedding != answer.data[1].embedding
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 4 + 7 + 4


def test_base64_and_float_are_the_same_numbers(server: LiveServer) -> None:
    """Raw JSON: the client's own type is stricter than the service here."""
    plain = _post(server, input="the cat").json()
    packed = _post(server, input="the cat", encoding_format="base64").json()
    numbers = struct.unpack("<64f", base64.b64decode(packed["data"][0]["embedding"]))
    assert list(numbers) == plain["data"][0]["embedding"]
    assert plain["data"][0]["object"] == "embedding"
    assert set(plain) == {"object", "data", "model", "usage"}


def test_dimensions_are_honoured(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model=NAME, input="the cat", dimensions=5)
    assert len(answer.data[0].embedding) == 5
    assert sum(x * x for x in answer.data[0].embedding) == pytest.approx(1, abs=1e-6)
    with pytest.raises(openai.BadRequestError, match="64 numbers") as raised:
        client.embeddings.create(model=NAME, input="the cat", dimensions=1536)
    assert raised.value.param == "dimensions"


def test_own_ids_are_their_text_and_foreign_ids_are_refused(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))  # nothing is installed there
    ids = [VOCABULARY.index(word) for word in ("the", "cat")]
    by_text = client.embeddings.create(model=NAME, input="the cat").data[0].embedding
    assert client.embeddings.create(model=NAME, input=ids).data[0].embedding == by_text
    assert client.embeddings.create(model=NAME, input=[ids, ids]).data[1].embedding == by_text
    for foreign in (ids, [ids]):
        with pytest.raises(openai.BadRequestError, match="cl100k_base") as raised:
            client.embeddings.create(model=ALIAS, input=foreign)
        assert raised.value.param == "input"


def test_installed_foreign_ids_are_the_text_they_stand_for(
    client: openai.OpenAI, tmp_path: Path, server: LiveServer
) -> None:
    words = [b"the", b" cat"]
    lines = [f"{base64.b64encode(word).decode()} {index + 7}" for index, word in enumerate(words)]
    (tmp_path / "cl100k_base.tiktoken").write_text("\n".join(lines), encoding="utf-8")
    with live_server(server.engine, vocabularies=str(tmp_path)) as other, _loose(other) as theirs:
        by_ids = theirs.embeddings.create(model=ALIAS, input=[7, 8]).data[0].embedding
    assert by_ids == client.embeddings.create(model=NAME, input="the cat").data[0].embedding


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "truncate": True}, "truncate"),
        ({}, "input"),
    ],
)
def test_wrong_bodies_are_named(server: LiveServer, body: dict[str, Any], param: str) -> None:
    response = _post(server, **body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


def test_models_of_the_other_task_are_told_apart(server: LiveServer, client: openai.OpenAI) -> None:
    listed = {model.id for model in client.models.list()}
    assert {NAME, ALIAS, server.model} <= listed
    with pytest.raises(openai.BadRequestError, match="not embeddings"):
        client.embeddings.create(model=server.model, input="a")
    with pytest.raises(openai.BadRequestError, match="not answers"):
        client.chat.completions.create(model=NAME, messages=[{"role": "user", "content": "a"}])
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="text-embedding-9", input="a")


def test_a_client_that_leaves_stops_its_work(server: LiveServer) -> None:
    waiting = server.engine.encoder.open().embedder._queue._waiting
    body = json.dumps({"model": NAME, "input": ["the cat on the mat " * 20] * 2000}).encode()
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head + body)
        eventually(lambda: bool(waiting))
    eventually(lambda: not waiting)
    assert waiting.size("interactive") == (0, 0)


def test_many_requests_at_once_each_get_their_own(server: LiveServer) -> None:
    texts = [f"ship {number} the cat {'sea ' * (number % 40)}" for number in range(24)]
    want = server.engine.embed(texts)
    found: dict[int, list[float]] = {}

    def ask(number: int) -> None:
        found[number] = _post(server, input=texts[number]).json()["data"][0]["embedding"]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(len(texts))] == want


def test_what_was_embedded_is_counted(server: LiveServer) -> None:
    def counted() -> dict[str, float]:
        lines = httpx.get(f"{server.url}/metrics").text.splitlines()
        found = [line.split() for line in lines if line.startswith("pennyweight_embedding_")]
        return {name: float(value) for name, value in found if name.endswith("_total")}

    before = counted()
    tokens = _post(server, input=["the cat", "the sea"]).json()["usage"]["prompt_tokens"]
    added = {name: value - before[name] for name, value in counted().items()}
    assert added["pennyweight_embedding_requests_total"] == 1
    assert added["pennyweight_embedding_tokens_total"] >= tokens
    assert added["pennyweight_embedding_seconds_total"] > 0


def test_under_a_ceiling_an_encoder_must_be_named(tmp_path: Path) -> None:
    """Nobody counted the default one's memory: it is not offered, and the refusal says what to do."""
    model = write_tiny_llama(tmp_path / "tiny.gguf")
    encoder = write_encoder_folder(tmp_path / NAME)
    ceiling = f"{(resident_memory() >> 20) + 1024}MiB"  # this process may have run thousands of tests before
    with Engine.open(model, threads=1, memory=ceiling) as engine, live_server(engine) as server:
        assert {item["id"] for item in _models(server)}.isdisjoint({"all-minilm-l6-v2", ALIAS})
        response = _post(server, model=ALIAS, input="a")
        assert response.status_code == 400
        assert "--embedding-model" in response.json()["error"]["message"]
        with pytest.raises(InvalidRequestError, match="embedding_model"):
            engine.embed("a")
    with (
        Engine.open(model, threads=1, memory=ceiling, embedding_model=encoder) as engine,
        live_server(engine) as server,
    ):
        assert engine.encoder.stats().requests == 1  # it was warmed up before memory was measured
        assert ALIAS in {item["id"] for item in _models(server)}
        assert _post(server, input="a").status_code == 200


def _models(server: LiveServer) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = httpx.get(f"{server.url}/v1/models").json()["data"]
    return data


def test_an_encoder_that_cannot_be_had_is_a_clear_error(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Offline and never fetched: told at first use, chats go on; not to be retried by itself; logged."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, value in (
        ("PIP_CONFIG_FILE", "/dev/null"),
        ("PIP_NO_INDEX", "1"),
        ("HF_ENDPOINT", "http://127.0.0.1:9"),
    ):
        monkeypatch.setenv(name, value)
    with live_server(engine) as server, server.client() as client:
        with pytest.raises(openai.InternalServerError, match="could not be downloaded") as raised:
            client.embeddings.create(model=ALIAS, input="a")
        assert raised.value.response.headers["x-should-retry"] == "false"
        assert "all-minilm-l6-v2 is not here yet: downloading 91 MB" in caplog.text
        assert "could not be downloaded" in caplog.text
        answer = client.chat.completions.create(
            model=server.model, messages=[{"role": "user", "content": "a"}], max_tokens=2
        )
        assert answer.choices[0].message.content is not None
